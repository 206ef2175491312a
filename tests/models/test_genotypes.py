"""A network's genotype as its value, as the name of a published one, and as the file that a search wrote."""

import pytest

from nasdet import zoo
from nasdet.models.genotypes import genotype_value
from nasdet.models.meta import build_on_meta


def test_a_file_and_a_name_are_as_good_as_the_value(tmp_path):
    found, path = zoo.load('darts_v1_cifar'), tmp_path / 'genotype.json'
    path.write_text(found.to_json() + '\n')
    values = [genotype_value(given) for given in (found.plain(), 'darts_v1_cifar', str(path))]
    assert values[0] == values[1] == values[2] != zoo.load('darts_v2_cifar').plain()
    network = build_on_meta(dict(type='CellNetwork', genotype=str(path), num_cells=(6, 6, 6), width=36, num_classes=10,
                                 final_relu=False))
    assert sum(weight.numel() for weight in network.parameters()) == zoo.entry('darts_v1_cifar')['exact']['params']


@pytest.mark.parametrize('content, words', [
    (None, 'there is no genotype .*missing.json: search it first'), ('{"value": {}}', 'missing.json: not a genotype'),
    ('not JSON', 'missing.json: not a genotype: not JSON')])
def test_a_file_that_holds_none_is_refused(tmp_path, content, words):
    path = tmp_path / 'missing.json'
    if content is not None:
        path.write_text(content)
    with pytest.raises(ValueError, match=words):
        genotype_value(str(path))
