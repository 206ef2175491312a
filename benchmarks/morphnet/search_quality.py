"""Whether MorphNet's widths are worth more than all widths multiplied by one factor, at equal cost and equal training.

    python -m benchmarks.morphnet.search_quality --seeds 0 1 2
    python -m benchmarks.morphnet.search_quality --data bccd --ann train.json --images DIR --test-ann test.json \
        --seeds 0 1 2
    python -m benchmarks.morphnet.search_quality --show

For each seed the search of ``configs/morphnet/retinanet_r18_digits.py`` shrinks the detector and expands it to half its
cost. What it found is trained from scratch for as many epochs as the config says, on search-train and search-val, as
``nasdet confirm`` does, and measured once on test; so it is once more, starting from the weights that the search leaves
of it. The detector with all widths multiplied by the factor of the same cost, to 1 %, is trained from scratch for
longer: by as many training images as the search has used. Every figure becomes a row of
``search_quality_searches.csv`` or ``search_quality_test.csv`` at once, and what is there is not measured again; a
killed search goes on.
"""

import argparse
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from benchmarks.common import append_row, groups, parser_of, read_rows, recipe_of_test
from benchmarks.detection_data import add_detection_data, coco_files
from benchmarks.morphnet.common import SEARCH, TABLES, WORK_DIR
from benchmarks.search_quality import TEST, figures_of, train_and_test
from nasdet.config import load_config
from nasdet.confirm import Confirmation
from nasdet.confirm.comparison import compare, sentence, table
from nasdet.confirm.finalists import Candidate, check_buildable
from nasdet.costs.complexity import count
from nasdet.datasets import prepare
from nasdet.genotype import Genotype
from nasdet.history.record import read_record
from nasdet.history.workdir import WorkDir
from nasdet.models.meta import build_on_meta
from nasdet.registry import SPACES, build
from nasdet.search.trained import TrainedSearch
from nasdet.training.runner import source_epochs
from nasdet.training.subset import image_count

SEARCHES = 'search_quality_searches.csv'
FOUND, TUNED, UNIFORM = 'morphnet', 'morphnet_tuned', 'uniform'
WAYS = {FOUND: 'what the search found, trained from scratch', TUNED: "the same from the search's weights"}
TOLERANCE = 0.01        # of the costs of both
NOT_IN_RECIPE = ('data', 'control')     # what the dataloaders say already, what is not run


class Seed:
    """All that is measured with one seed.

    Args:
        args: Of the command.
        seed: Of search and trainings.
    """

    def __init__(self, args: argparse.Namespace, seed: int):
        self.options = {**options_of(args), 'search.seed': seed}
        self.config = prepare(load_config(str(SEARCH), self.options), args.work_dir / args.data)
        self.space = build(SPACES, self.config.search.space)
        recipe = recipe_of_test(self.config, NOT_IN_RECIPE)
        self.start, self.seed, self.results = dict(data=args.data, recipe=recipe), seed, args.results
        self.folder = args.work_dir / args.data / recipe / f'seed-{seed}'

    def rows(self, name: str) -> list[dict[str, str]]:
        """Return the rows of this seed that a table has."""
        return read_rows(self.results / name, **self.start, seed=self.seed)

    def search(self) -> dict[str, str]:
        """Run the search unless it has its row; return that."""
        if not self.rows(SEARCHES):
            with closing(TrainedSearch.from_cfg(load_config(str(SEARCH), self.options),
                                                str(self.folder / 'search'))) as search:
                genotype, trainer = search.run(), search.trainer
            record = read_record(self.folder / 'search' / 'history.sqlite')
            append_row(self.results / SEARCHES, dict(
                self.start, seed=self.seed, epochs=trainer.steps - 1, images=trainer.images,
                seconds=f'{sum(record.seconds.values()):.1f}', genotype=genotype.to_json()))
        return self.rows(SEARCHES)[0]

    def test(self, row: dict[str, str]) -> None:
        """Train and test what was found, from scratch and from the search's weights, and the control, where not done.

        Args:
            row: Of the search.
        """
        found = Genotype.from_json(row['genotype'])
        uniform = self._uniform(found)
        own = source_epochs(self.config)
        images = sum(image_count(self.config, split) for split in ('train', 'val'))
        longer = own + round(int(row['images']) / images)
        trainings = {FOUND: (found, own), TUNED: (found, own), UNIFORM: (uniform, longer)}
        done = {row['who'] for row in self.rows(TEST)}
        for who, (genotype, epochs) in trainings.items():
            if who not in done:
                self._test(who, genotype, epochs, epochs * images)

    def _uniform(self, found: Genotype) -> Genotype:
        """Return the network with all widths by the factor that makes it as dear as what was found."""
        target = self.config.search.trainer.get('target', 'macs')
        cost = self.space.cost(found, target)
        uniform = self.space.expanded(self.space.seed(), cost, target)
        if abs(self.space.cost(uniform, target) / cost - 1) > TOLERANCE:
            raise SystemExit(f'seed {self.seed}: the scaled network costs {self.space.cost(uniform, target):.4g}, what '
                             f'was found {cost:.4g}: more than {TOLERANCE:.0%} apart, so they do not compare')
        return uniform

    def _test(self, who: str, genotype: Genotype, epochs: int, images: int) -> None:
        model = self.space.apply(genotype, self.config.model)
        if who == TUNED:
            weights = self.folder / 'search' / 'best' / 'weights.pth'
            model.init_cfg = dict(type='Pretrained', checkpoint=str(weights.absolute()))
        candidate = Candidate(who, self.space.key(genotype), model)
        check_buildable([candidate])
        with WorkDir(self.folder / who) as folder:
            figure, seconds = train_and_test(Confirmation(folder, self.config, epochs), candidate, self.seed)
        costs = count(build_on_meta(candidate.model), self.space.input_shape)
        append_row(self.results / TEST, dict(self.start, who=who, seed=self.seed, key=candidate.key, mAP=figure,
                                             epochs=epochs, images=images, **costs, seconds=seconds))


def options_of(args: argparse.Namespace) -> dict[str, Any]:
    """Return the settings of the shipped config that the command overrides."""
    if args.data == 'digits':
        return {'search.data.root': str(args.work_dir.absolute()), **args.cfg_options}
    return {'search.data': dict(_delete_=True, type='coco', **coco_files(args)), **args.cfg_options}


def show(folder: Path) -> None:
    """Print what was spent, the figures on test and what they say, of every data set and recipe."""
    for (data, recipe), rows in groups(read_rows(folder / TEST), 'data', 'recipe').items():
        print(f'\n{data}, recipe {recipe}\n\nMorphNet is trained for the images of its search besides its own:\n')
        searched = {row['seed']: int(row['images']) for row in read_rows(folder / SEARCHES)
                    if (row['data'], row['recipe']) == (data, recipe)}
        for row in rows:
            images = int(row['images']) + (0 if row['who'] == UNIFORM else searched[row['seed']])
            print(f'seed {row["seed"]}, {row["who"]}: mAP {float(row["mAP"]):.4f}, {int(row["macs"]):,} multiply-adds, '
                  f'{int(row["params"]):,} parameters, {images:,} images in all')
        figures = figures_of(rows, 'who', 'mAP')
        if {FOUND, UNIFORM} <= figures.keys():
            found = compare(figures, UNIFORM)
            print(f'\nmAP on test, the difference to uniform scaling\n\n{table(found)}\n')
            for one in found:
                if one.name != UNIFORM:
                    print(sentence(one, UNIFORM, 'mAP', WAYS[one.name]))


def parse() -> argparse.Namespace:
    parser = parser_of(__doc__, TABLES, WORK_DIR / 'search_quality')
    parser.add_argument('--seeds', nargs='+', type=int, default=[0, 1, 2])
    add_detection_data(parser)
    return parser.parse_args()


def main() -> int:
    """Measure what is missing, or print what is there."""
    args = parse()
    if args.show:
        show(args.results)
        return 0
    for number in args.seeds:
        seed = Seed(args, number)
        seed.test(seed.search())
    return 0


if __name__ == '__main__':
    sys.exit(main())
