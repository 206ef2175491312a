"""The control of a search within one training, where it is a single training as long as search and result together."""

from contextlib import closing

import pytest
from mmengine.config import Config

from nasdet.errors import SearchError
from nasdet.history.record import read_record
from nasdet.report import write_report
from nasdet.search.trained import TrainedSearch
from tests.search.test_trained import ToyTrainer, config, run


def test_a_single_control_is_trained_for_the_images_of_the_search_besides(tmp_path):
    work_dir = tmp_path / 'search'
    cfg = config(tmp_path, control=dict(single=True, estimator=dict(type='TrainingEstimator', epochs=1)))
    run(cfg, work_dir)
    with closing(TrainedSearch.from_cfg(cfg, str(work_dir))) as search:
        search.run_control()
    alone, control = (read_record(work_dir / name / 'history.sqlite').evaluated for name in ('alone', 'control'))
    assert (len(alone), len(control)) == (1, 1)
    epochs = [Config.fromfile(str(work_dir / name / 'config.py')).search.estimator.epochs
              for name in ('alone', 'control')]
    assert epochs == [1, 1 + round(ToyTrainer.images / 480)]
    assert 'Scored with the weights in training' in write_report(work_dir).read_text()      # shared or not


def test_a_misspelt_entry_is_refused(tmp_path):
    with pytest.raises(SearchError, match="unknown entry 'singel': did you mean 'single'"):
        run(config(tmp_path, control=dict(singel=True, estimator=dict(type='TrainingEstimator'))), tmp_path / 'search')
