"""PyTorch, eager, as its tutorials train: shuffled batches by index, zero_grad, backward, step."""

import math
import os
import time

import numpy
import torch

from protocol import serve, steps_case, synthetic_data
from pytorch_per_sample import open_per_sample


def network(sizes):
    layers = []
    for i in range(len(sizes) - 1):
        if i > 0:
            layers.append(torch.nn.ReLU())
        layers.append(torch.nn.Linear(sizes[i], sizes[i + 1]))
    return torch.nn.Sequential(*layers)


def adam(parameters, learning_rate):
    # foreach is the multi-tensor form: faster for many small tensors.
    try:
        return torch.optim.Adam(parameters, lr=learning_rate, foreach=True)
    except TypeError:
        return torch.optim.Adam(parameters, lr=learning_rate)


def open_steps(specification):
    workload = specification["workload"]
    batch = workload["batchSize"]
    inputs, targets = synthetic_data(numpy, workload, workload["rows"])
    x = torch.from_numpy(inputs)
    if workload["loss"] == "meanSquaredError":
        y = torch.from_numpy(targets).reshape(-1, 1)
        criterion = torch.nn.MSELoss()
    else:
        y = torch.from_numpy(targets.astype(numpy.int64))
        criterion = torch.nn.CrossEntropyLoss()
    model = network(workload["sizes"])
    optimizer = adam(model.parameters(), workload["learningRate"])
    order, at = torch.randperm(len(x)), 0

    def train(steps):
        nonlocal order, at
        for _ in range(steps):
            if at + batch > len(order):
                order, at = torch.randperm(len(x)), 0
            rows = order[at : at + batch]
            at += batch
            optimizer.zero_grad(set_to_none=True)
            criterion(model(x.index_select(0, rows)), y.index_select(0, rows)).backward()
            optimizer.step()
        return steps

    def loss():
        with torch.no_grad():
            return float(criterion(model(x[:batch]), y[:batch]))

    return steps_case(specification, torch.__version__, train, loss)


def read_idx(folder, name):
    raw = numpy.fromfile(os.path.join(folder, name), dtype=numpy.uint8)
    rank = int(raw[3])
    shape = raw[4 : 4 + 4 * rank].view(">u4").astype(int)
    return raw[4 + 4 * rank :].reshape(shape)


def open_accuracy(specification):
    scenario, folder = specification["scenario"], specification["folder"]

    def part(prefix):
        images = read_idx(folder, prefix + "-images-idx3-ubyte")
        labels = read_idx(folder, prefix + "-labels-idx1-ubyte")
        x = images.reshape(len(images), -1).astype(numpy.float32) / 255
        return torch.from_numpy(x), torch.from_numpy(labels.astype(numpy.int64))

    x, y = part("train")
    x_test, y_test = part("t10k")
    batch, epochs = scenario["batchSize"], scenario["epochs"]
    per_epoch = math.ceil(len(x) / batch)

    def run(request):
        torch.manual_seed(request["seed"])
        model = network(scenario["sizes"])
        criterion = torch.nn.CrossEntropyLoss()
        optimizer = adam(model.parameters(), scenario["learningRate"])
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, per_epoch * epochs)
        accuracies = []
        begin = time.perf_counter()
        for _ in range(epochs):
            order = torch.randperm(len(x))
            for at in range(0, len(x), batch):
                rows = order[at : at + batch]
                optimizer.zero_grad(set_to_none=True)
                criterion(model(x.index_select(0, rows)), y.index_select(0, rows)).backward()
                optimizer.step()
                schedule.step()
            with torch.no_grad():
                correct = (model(x_test).argmax(1) == y_test).float().mean()
            accuracies.append(float(correct))
            if accuracies[-1] >= scenario["targetAccuracy"]:
                break
        return {
            "seconds": time.perf_counter() - begin,
            "accuracies": accuracies,
            "reached": accuracies[-1] >= scenario["targetAccuracy"],
        }

    return {"version": torch.__version__}, run


def open_curvature(specification):
    """Products as its users write them: torch.autograd.grad on retained graphs, the Gauss-Newton one by two transposes."""
    sizes, linear, batch = specification["sizes"], specification["linear"], specification["batchSize"]
    layers = []
    for i in range(len(sizes) - 1):
        layers.append(torch.nn.Linear(sizes[i], sizes[i + 1]))
        if i not in linear:
            layers.append(torch.nn.Sigmoid())
    model = torch.nn.Sequential(*layers)
    parameters = list(model.parameters())
    x = torch.rand(batch, sizes[0])
    criterion = torch.nn.BCEWithLogitsLoss()
    v = [torch.full_like(p, 0.005) for p in parameters]

    outputs = model(x)
    probabilities = torch.sigmoid(outputs).detach()
    root = torch.zeros_like(outputs, requires_grad=True)
    # J'u as a function of u, whose derivative along v is J v.
    transposed = torch.autograd.grad(outputs, parameters, root, create_graph=True)
    second = model(x)
    slopes = torch.autograd.grad(criterion(second, x), parameters, create_graph=True)

    def gradient():
        torch.autograd.grad(criterion(model(x), x), parameters)

    def ggn():
        tangent = torch.autograd.grad(transposed, root, v, retain_graph=True)[0]
        curved = probabilities * (1 - probabilities) * tangent / outputs.numel()
        torch.autograd.grad(outputs, parameters, curved, retain_graph=True)

    def hessian():
        torch.autograd.grad(slopes, parameters, v, retain_graph=True)

    calls = {"gradient": gradient, "ggn": ggn, "hessian": hessian}

    def handle(request):
        call = calls.get(request["product"])
        if call is None:
            return {"milliseconds": None}
        call()
        samples, end = [], time.perf_counter() + request["seconds"]
        while time.perf_counter() < end:
            begin = time.perf_counter()
            call()
            samples.append((time.perf_counter() - begin) * 1000)
        return {"milliseconds": sorted(samples)[len(samples) // 2], "count": len(samples)}

    return {"version": torch.__version__}, handle


def open_case(specification):
    torch.set_num_threads(specification["threads"])
    torch.manual_seed(1)
    if specification["role"] == "per-sample":
        return open_per_sample(specification, network, adam)
    roles = {"steps": open_steps, "accuracy": open_accuracy, "curvature": open_curvature}
    return roles[specification["role"]](specification)


serve(open_case)
