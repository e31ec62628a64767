"""A bare BentoML service: the same churn booster on ready features, the fastest call there is, and nothing else."""

import os

import bentoml
import lightgbm as lgb
import numpy as np


@bentoml.service(name="bare", workers=1)
class Bare:
    def __init__(self):
        self.booster = lgb.Booster(model_file=os.environ["BARE_MODEL"])

    @bentoml.api
    def predict(self, rows: list[list[float | None]]) -> list[float]:
        return self.booster.predict(np.array(rows, dtype=np.float64), num_threads=1).tolist()
