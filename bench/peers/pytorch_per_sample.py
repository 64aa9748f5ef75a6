"""Per-sample gradients as PyTorch's users write them: by einsum of inputs and deltas, and by vmap(grad)."""

import time

import numpy
import torch

from protocol import synthetic_data


def functional(model):
    """(function of parameters and inputs, vmap, grad), or None where this build has neither form."""
    try:
        from torch.func import functional_call, grad, vmap

        names = [name for name, _ in model.named_parameters()]
        return lambda p, x: functional_call(model, dict(zip(names, p)), (x,)), vmap, grad
    except ImportError:
        pass
    try:
        from functorch import grad, make_functional, vmap

        return make_functional(model)[0], vmap, grad
    except ImportError:
        return None


def open_per_sample(specification, network, adam):
    workload = specification["workload"]
    batch, threshold = workload["batchSize"], specification["thresholds"]["clipped"]
    inputs, targets = synthetic_data(numpy, workload, workload["rows"])
    x = torch.from_numpy(inputs)
    if workload["loss"] == "meanSquaredError":
        y = torch.from_numpy(targets).reshape(-1, 1)
        criterion = torch.nn.functional.mse_loss
    else:
        y = torch.from_numpy(targets.astype(numpy.int64))
        criterion = torch.nn.functional.cross_entropy

    def learner():
        model = network(workload["sizes"])
        return model, adam(model.parameters(), workload["learningRate"])

    order, at = torch.randperm(len(x)), 0

    def rows():
        nonlocal order, at
        if at + batch > len(order):
            order, at = torch.randperm(len(x)), 0
        index = order[at : at + batch]
        at += batch
        return x.index_select(0, index), y.index_select(0, index)

    def by_einsum(model):
        """Deltas by one backward pass without weight gradients, then an outer product for each sample and layer."""

        def gradients(a, target):
            kept, outputs = [], []
            for layer in model:
                if isinstance(layer, torch.nn.Linear):
                    kept.append(a.detach())
                    a = layer(a)
                    outputs.append(a)
                else:
                    a = layer(a)
            deltas = torch.autograd.grad(criterion(a, target, reduction="sum"), outputs)
            result = []
            for delta, entered in zip(deltas, kept):
                result += [torch.einsum("no,ni->noi", delta, entered), delta]
            return result

        return gradients

    def by_vmap(model):
        call, vmap, grad = functional(model)
        each = vmap(grad(lambda p, a, t: criterion(call(p, a[None]), t[None])), in_dims=(None, 0, 0))
        return lambda a, target: each(tuple(p.detach() for p in model.parameters()), a, target)

    def norms_of(gradients):
        return torch.stack([g.flatten(1).pow(2).sum(1) for g in gradients]).sum(0).sqrt()

    def plain():
        model, optimizer = learner()

        def step():
            a, target = rows()
            optimizer.zero_grad(set_to_none=True)
            criterion(model(a), target).backward()
            optimizer.step()

        return step

    def clipped(form):
        model, optimizer = learner()
        per_sample = form(model)

        def step():
            gradients = per_sample(*rows())
            factors = (threshold / norms_of(gradients)).clamp(max=1) / batch
            for parameter, g in zip(model.parameters(), gradients):
                parameter.grad = torch.einsum("n,n...->...", factors, g)
            optimizer.step()

        return step

    def norms(form):
        """The plain step, and the norms beside it."""
        model, optimizer = learner()
        per_sample = form(model)

        def step():
            a, target = rows()
            norms_of(per_sample(a, target))
            optimizer.zero_grad(set_to_none=True)
            criterion(model(a), target).backward()
            optimizer.step()

        return step

    def gradients(form):
        per_sample = form(learner()[0])
        return lambda: per_sample(x[:batch], y[:batch])

    forms = {"": by_einsum}
    if functional(network(workload["sizes"])) is not None:
        forms["Vmap"] = by_vmap
    steps, quantities = {"plain": plain()}, {}
    for suffix, form in forms.items():
        steps["clipped" + suffix] = clipped(form)
        steps["norms" + suffix] = norms(form)
        quantities["gradients" + suffix] = gradients(form)
    calls = {**steps, **quantities}
    estimates = {}

    def timed(name, count):
        begin = time.perf_counter()
        for _ in range(count):
            calls[name]()
        seconds = time.perf_counter() - begin
        estimates[name] = seconds * 1e6 / count
        return seconds

    for name in calls:
        spent, count = 0, 1
        while spent < specification["warmUpSeconds"]:
            spent += timed(name, count)
            count *= 2

    def handle(request):
        name = request["arm"]
        seconds = timed(name, max(1, round(request["seconds"] * 1e6 / estimates[name])))
        return {"microseconds": estimates[name], "seconds": seconds}

    size = 4 * batch * sum(p.numel() for p in network(workload["sizes"]).parameters())
    ready = {
        "version": torch.__version__,
        "arms": {"step": list(steps), "quantity": list(quantities)},
        "bytes": {name: size for name in quantities},
        "notes": [] if "Vmap" in forms else ["vmap(grad) left out: neither torch.func nor functorch is there"],
    }
    return ready, handle
