"""The child's end of a case: JSON lines on standard input and output."""

import json
import os
import sys
import time


def serve(open_case):
    """open_case(specification) gives (ready, handle); handle(request) gives a dict."""
    # Standard output carries answers only; whatever a library prints goes to standard error.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(message):
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    try:
        ready, handle = open_case(json.loads(sys.argv[1]))
        answer({"event": "ready", **ready})
        for line in sys.stdin:
            answer({"event": "result", **handle(json.loads(line))})
    except Exception as error:  # the parent prints it
        answer({"event": "error", "message": f"{type(error).__name__}: {error}"})
        sys.exit(1)


def steps_case(specification, version, train, loss):
    """Warm-up and turns around train(steps) -> steps done; loss() shows that it learns."""
    before = loss()

    def timed(steps):
        begin = time.perf_counter()
        done = train(steps)
        seconds = time.perf_counter() - begin
        return {"steps": done, "seconds": seconds, "microseconds": seconds * 1e6 / done}

    estimate = timed(1)
    spent, steps = estimate["seconds"], 2
    while spent < specification["warmUpSeconds"]:
        estimate = timed(steps)
        spent += estimate["seconds"]
        steps *= 2

    def handle(request):
        nonlocal estimate
        estimate = timed(max(1, round(request["seconds"] * 1e6 / estimate["microseconds"])))
        return {**estimate, "lossBefore": before, "loss": loss()}

    return {"version": version, "microseconds": estimate["microseconds"]}, handle


def synthetic_data(numpy, workload, rows):
    """The distribution of the JavaScript contestants' data: something smooth to learn."""
    generator = numpy.random.default_rng(20240)
    inputs = generator.random((rows, workload["sizes"][0]), dtype=numpy.float32)
    if workload["loss"] == "meanSquaredError":
        targets = 0.5 + 0.4 * numpy.sin(3 * inputs[:, 0]) * (inputs[:, 1] - 0.5)
        return inputs, targets.astype(numpy.float32)
    return inputs, inputs[:, : workload["sizes"][-1]].argmax(axis=1)
