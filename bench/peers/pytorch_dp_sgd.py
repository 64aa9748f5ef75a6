"""Steps of DP-SGD as PyTorch's users write them: per-sample gradients by einsum, clipped and summed, and noise.

Prints the samples per second of steps on random rows: sizes, batch size, steps and threads are arguments.
"""

import json
import sys
import time

import torch

sizes, batch, steps, threads = json.loads(sys.argv[1])
torch.set_num_threads(threads)
torch.manual_seed(1)
layers = []
for inputs, outputs in zip(sizes, sizes[1:]):
    layers += [torch.nn.Linear(inputs, outputs), torch.nn.Tanh()]
model = torch.nn.Sequential(*layers[:-1])
optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
x, y = torch.rand(batch, sizes[0]), torch.randint(0, sizes[-1], (batch,))
THRESHOLD, NOISE = 1.0, 1.0


def step():
    a, entered, left = x, [], []
    for layer in model:
        if isinstance(layer, torch.nn.Linear):
            entered.append(a.detach())
            a = layer(a)
            left.append(a)
        else:
            a = layer(a)
    deltas = torch.autograd.grad(torch.nn.functional.cross_entropy(a, y, reduction="sum"), left)
    gradients = []
    for delta, source in zip(deltas, entered):
        gradients += [torch.einsum("no,ni->noi", delta, source), delta]
    norms = torch.stack([g.flatten(1).pow(2).sum(1) for g in gradients]).sum(0).sqrt()
    factors = (THRESHOLD / norms).clamp(max=1.0)
    for parameter, g in zip(model.parameters(), gradients):
        total = torch.einsum("n,n...->...", factors, g)
        parameter.grad = (total + NOISE * THRESHOLD * torch.randn_like(total)) / batch
    optimizer.step()


step()
start = time.perf_counter()
for _ in range(steps):
    step()
print(json.dumps({"samplesPerSecond": batch * steps / (time.perf_counter() - start)}))
