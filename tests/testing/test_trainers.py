"""The suite of trainers accepts what is right and finds what is broken."""

import json
import random

import pytest
import torch
from mmengine.config import Config

from nasdet.genotype import Genotype
from nasdet.models.meta import build_in_memory
from nasdet.protocol import Evaluation
from nasdet.testing import check_trainer
from nasdet.trainers.base import Trainer
from tests.classifiers import CHANNELS, KERNELS, TinySpace

MODEL = dict(type='ImageClassifier', num_classes=2, in_channels=CHANNELS)
FOUND = Genotype('TinySpace', dict(kernels=[KERNELS[1]] * 2))
OTHER = Genotype('TinySpace', dict(kernels=[KERNELS[2]] * 2))


class Counting(Trainer):
    """Counts to three, and offers the last; its checkpoint says how far it is."""

    requires = ('apply',)
    metric_names = ('score',)
    images = 10
    fingerprint = 'counting'
    steps = 3

    def __init__(self, folder):
        super().__init__(TinySpace(), Config(dict(model=MODEL)), folder)
        self.work_dir.mkdir(exist_ok=True)
        self.checkpoint = self.work_dir / 'checkpoint.json'

    def run(self, record):
        done = json.loads(self.checkpoint.read_text()) if self.checkpoint.exists() else 0
        for number in range(done, self.steps):
            self.step(record, number)

    def step(self, record, number):
        self.record(record, number)
        self.save(number)

    def record(self, record, number, **said):
        last = number == self.steps - 1
        record(number, FOUND, Evaluation(dict(score=self.score(number)), **said), candidate=last)

    def score(self, number):
        return 0.1 * number

    def save(self, number):
        self.checkpoint.write_text(json.dumps(number + 1))


class Weighted(Counting):
    network = FOUND

    def weights(self, genotype, path):
        model = build_in_memory(self.space.apply(self.network, self.config.model))
        torch.save(dict(state_dict=model.state_dict()), path)
        return True


class OfAnotherNetwork(Weighted):
    network = OTHER


class Silent(Weighted):
    def weights(self, genotype, path):
        return not super().weights(genotype, path)


class Late(Counting):
    def step(self, record, number):
        self.save(number)
        self.record(record, number)


class Restarting(Counting):
    def save(self, number):
        pass


class OwnChance(Counting):
    def score(self, number):
        return random.SystemRandom().random()


class Forgetful(Counting):
    """What its score depends on is not in the checkpoint."""

    made = 0

    def score(self, number):
        self.made += 1
        return 0.1 * self.made


class Gappy(Counting):
    def record(self, record, number):
        super().record(record, 2 * number)


class Fruitless(Counting):
    def record(self, record, number):
        super().record(lambda *step, candidate: record(*step), number)


class Restless(Counting):
    @property
    def fingerprint(self):
        return str(self.checkpoint.exists())


class Timed(Counting):
    def record(self, record, number):
        super().record(record, number, fidelity=dict(epochs=(number, 3)))


class Unmeasured(Counting):
    rewarded_by = 'accuracy/top1'


class Demanding(Counting):
    requires = ('fly',)


@pytest.mark.parametrize('trainer', [Counting, Weighted])
def test_a_right_trainer_passes(trainer):
    check_trainer(trainer)


@pytest.mark.parametrize('trainer, complaint', [
    (OfAnotherNetwork, r'does not load into the candidate.s network: (.|\n)*size mismatch'),
    (Silent, 'says that there are no weights'), (Late, 'step 0 is not repeated after a kill'),
    (Restarting, 'begins again at its first step'), (OwnChance, 'something else when it is repeated'),
    (Forgetful, 'step 1 gives something else'), (Gappy, r'recorded are the steps \[0, 2, 4\]'),
    (Fruitless, 'no step is a candidate'), (Restless, 'fingerprint changes'), (Timed, 'through JSON'),
    (Unmeasured, 'rewarded_by is accuracy/top1'), (Demanding, 'requires Space.fly')])
def test_a_broken_trainer_is_found(trainer, complaint):
    with pytest.raises(AssertionError, match=complaint):
        check_trainer(trainer)
