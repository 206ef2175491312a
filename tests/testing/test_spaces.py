"""The suite of spaces accepts what is right and finds what is broken."""

import numpy as np
import pytest

from nasdet.genotype import Genotype
from nasdet.spaces.base import Choice
from nasdet.testing import check_space
from tests.toys import ToySpace


class Lossy(ToySpace):
    def encode(self, genotype):
        return super().encode(self.canonical(genotype))


class Unstable(ToySpace):
    def canonical(self, genotype):
        layers = genotype.plain()['layers']
        return Genotype(self.name, dict(layers=layers[1:-1] + layers[:1] + layers[-1:]))


class SameName(ToySpace):
    def choices(self, prefix):
        choice = super().choices(prefix)
        return choice and Choice(choice.kind, choice.kind, choice.legal)


class OutOfVocabulary(ToySpace):
    vocab = dict(op=('id', 'pool', 'conv3', 'conv5'), width=(8,))


class Lenient(ToySpace):
    def decode(self, tokens):
        try:
            return super().decode(tokens)
        except ValueError:
            return self.sample(np.random.default_rng(0))


class Small(ToySpace):
    def size(self):
        return 3


class Editing(ToySpace):
    def apply(self, genotype, model):
        model['depth'] = self.num_decisions
        return dict(model)


class Applying(ToySpace):
    def apply(self, genotype, model):
        return dict(model, layers=genotype.plain()['layers'])


def test_a_right_space_passes():
    check_space(Applying(5), np.random.default_rng(0), model=dict(type='Chain'))


@pytest.mark.parametrize('space, complaint', [
    (Lossy(4), 'is not g'), (Unstable(4), 'idempotent'), (SameName(4), 'occurs twice'),
    (OutOfVocabulary(4), 'no index of its vocab'), (Lenient(4), 'decode.. accepts'), (Small(4), 'size'),
    (Editing(4), 'changes the config')])
def test_a_broken_space_is_found(space, complaint):
    with pytest.raises((AssertionError, ValueError), match=complaint):
        check_space(space, np.random.default_rng(0), model=dict(type='Chain'))
