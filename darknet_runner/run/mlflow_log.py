"""A run folder -> an MLflow run: its settings as parameters, metrics.csv as metrics, run.json, cfg and chart as
artifacts.

    log_run("runs/resnet18-001", "mlruns")      # a folder: MLflow's file store; or sqlite:///mlflow.db, http://...

The MLflow run keeps the name of the folder. A run that was logged before is logged anew in its place, as one that went
on.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

from converters.errors import MissingExtra, RunError

from .experiments import read_run
from .folder import RunDir
from .metrics_plot import read_metrics

EXPERIMENT = "emo"
CHUNK = 500  # metrics a call; a server takes 1000
PARAMETER = 500  # characters that every store takes


def need() -> None:
    """MissingExtra without the package."""
    try:
        import mlflow  # noqa: F401
    except ImportError:
        raise MissingExtra("mlflow", "mlflow", "logging to MLflow") from None


def log_run(path: str | Path, uri: str, experiment: str = EXPERIMENT) -> str:
    """The id of the MLflow run. RunError for a folder that is not a run, or a store that refuses."""
    need()
    if "://" not in uri:
        os.environ.setdefault(
            "MLFLOW_ALLOW_FILE_STORE", "true"
        )  # it warns of, and newer ones refuse, a folder otherwise
    from mlflow.entities import Metric, Param, RunTag
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    run, told = RunDir(Path(path)), read_run(path)
    try:
        client = MlflowClient(uri if "://" in uri else Path(uri).absolute().as_uri())
        found = client.get_experiment_by_name(experiment)
        number = found.experiment_id if found else client.create_experiment(experiment)
        name = str(run.path.absolute())
        for old in client.search_runs([number], f"tags.`emo.run` = '{name}'"):
            client.delete_run(old.info.run_id)
        made = client.create_run(number, run_name=run.path.name, tags={"emo.run": name})
        params = [
            Param(_key(key), str(value)[:PARAMETER])
            for key, value in told.settings.items()
            if value not in (None, [], "")
        ]
        tags = [RunTag(key, str(told.told[key])) for key in ("verdict", "data", "started") if told.told.get(key)] + (
            [RunTag("emo.data_hash", told.data)] if told.data else []
        )
        client.log_batch(made.info.run_id, params=params, tags=tags)
        metrics = _metrics(run, Metric)
        for start in range(0, len(metrics), CHUNK):
            client.log_batch(made.info.run_id, metrics=metrics[start : start + CHUNK])
        for file in (run.path / "run.json", run.cfg, run.names, run.recipe, run.chart, run.metrics):
            if file.is_file():
                client.log_artifact(made.info.run_id, str(file))
        client.set_terminated(
            made.info.run_id,
            {"finished": "FINISHED", "running": "RUNNING", "interrupted": "KILLED"}.get(
                str(told.told.get("verdict")), "FAILED"
            ),
        )
    except MlflowException as error:
        raise RunError(f"MLflow refuses: {str(error).splitlines()[0]}", where=uri) from None
    return made.info.run_id


def _key(name: str) -> str:
    """MLflow's names hold letters, digits and _-./ and blanks."""
    return "".join(char if char.isalnum() or char in "_-./ " else "_" for char in name)


def _metrics(run: RunDir, metric) -> list:
    """Every finite number of metrics.csv at its iteration; times are those since the run began."""
    began = round(1000 * (run.path / "run.json").stat().st_mtime)
    out = []
    for row in read_metrics(run.metrics):
        try:
            step = int(float(row["iteration"]))
        except (KeyError, TypeError, ValueError):
            continue
        for key, text in row.items():
            try:
                value = float(text or "nan")
            except (TypeError, ValueError):
                continue
            if key and key != "iteration" and math.isfinite(value):
                out.append(metric(_key(key), value, began, step))
    return out
