"""scikit-learn's MLPRegressor and MLPClassifier: whole epochs of fit."""

import math
import warnings

import numpy
import sklearn
from sklearn.neural_network import MLPClassifier, MLPRegressor
from threadpoolctl import threadpool_info, threadpool_limits

from protocol import serve, steps_case, synthetic_data

# A call of fit does at least an epoch, so that the data of the largest workload is cut to these batches.
BATCHES = 24


def open_case(specification):
    workload = specification["workload"]
    warnings.simplefilter("ignore")
    threadpool_limits(specification["threads"])
    batch, sizes = workload["batchSize"], workload["sizes"]
    rows = min(workload["rows"], BATCHES * batch)
    inputs, targets = synthetic_data(numpy, workload, rows)
    regression = workload["loss"] == "meanSquaredError"
    kind = MLPRegressor if regression else MLPClassifier
    # No tolerance and endless patience: an epoch is an epoch.
    model = kind(
        hidden_layer_sizes=tuple(sizes[1:-1]), activation="relu", solver="adam", alpha=0.0,
        batch_size=batch, learning_rate_init=workload["learningRate"], tol=0.0,
        n_iter_no_change=10**9, warm_start=True, max_iter=1, random_state=1,
    )
    per_epoch = math.ceil(rows / batch)

    def train(steps):
        epochs = max(1, math.ceil(steps / per_epoch))
        model.set_params(max_iter=epochs)
        model.fit(inputs, targets)
        return epochs * per_epoch

    model.fit(inputs[: 8 * batch], targets[: 8 * batch])
    blas = next((info for info in threadpool_info() if info["user_api"] == "blas"), None)
    version = sklearn.__version__ + (f" ({blas['internal_api']} {blas['version']})" if blas else "")
    return steps_case(specification, version, train, lambda: float(model.loss_))


serve(open_case)
