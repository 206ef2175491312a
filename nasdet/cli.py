"""The commands: ``nasdet search | export | report | confirm | train | test | digits``."""

import argparse
import importlib
import os
import sys
from typing import Optional, Sequence

from nasdet.errors import SearchError, is_disk_full
from nasdet.version import __version__

# Where each command is carried out; imported only then, since torch takes seconds.
COMMANDS = {
    'search': ('nasdet.search.command', 'main'),
    'export': ('nasdet.export', 'main'),
    'report': ('nasdet.report', 'main'),
    'confirm': ('nasdet.confirm', 'main'),
    'train': ('nasdet.training.launch', 'train'),
    'test': ('nasdet.training.launch', 'test'),
    'digits': ('nasdet.datasets.digits', 'main'),
}
# These run networks, so what the installed packages cannot do is found before they start.
RUNNING = ('search', 'confirm', 'train', 'test')
INTERRUPTED = 130


class CfgOptions(argparse.Action):
    """mmengine's ``DictAction``, imported when the flag is used."""

    def __call__(self, parser, namespace, values, option_string=None):
        """Parse KEY=VALUE pairs into a dict."""
        from mmengine.config import DictAction
        for value in values:
            if '=' not in value:
                parser.error(f'{option_string} takes KEY=VALUE pairs, not {value!r}')
        DictAction(self.option_strings, self.dest, nargs='+')(parser, namespace, values, option_string)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser('nasdet', description='Architecture search for object detectors.')
    parser.add_argument('--version', action='version', version=f'nasdet {__version__}')
    commands = parser.add_subparsers(dest='command', required=True, metavar='COMMAND')
    _add_search(commands.add_parser('search', help='search an architecture, or go on with a search'))
    _add_export(commands.add_parser('export', help='write a found architecture as a plain MMDetection config'))
    _add_report(commands.add_parser('report', help='write the report of a search: one HTML page'))
    _add_confirm(commands.add_parser('confirm', help='retrain finalists and baselines, measure them on the test split'))
    _add_train(commands.add_parser('train', help='train a config, as MMDetection does'))
    _add_test(commands.add_parser('test', help='test a config and a checkpoint, as MMDetection does'))
    _add_digits(commands.add_parser('digits', help='make the built-in detection data, for a training without a search'))
    return parser


def _add_config(parser: argparse.ArgumentParser, work_dir: str) -> None:
    parser.add_argument('config', help='config file, or nasdet::PATH of one that the package carries')
    parser.add_argument('--work-dir', help=work_dir)
    parser.add_argument('--cfg-options', nargs='+', action=CfgOptions, metavar='KEY=VALUE',
                        help='settings to override, e.g. search.budget.trials=100 or key="[a,b]"')


def _add_launcher(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none',
                        help='how several processes were started; pytorch: torchrun')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help='set by launchers')


def _add_search(parser: argparse.ArgumentParser) -> None:
    _add_config(parser, 'where the search lives; the same folder and config go on with it')
    parser.add_argument('--control', action='store_true', help='then also search at random, at the same cost')


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('work_dir', help='of the search')
    which = parser.add_mutually_exclusive_group()
    which.add_argument('--trial', type=int, help='number of the trial; default: the best one')
    which.add_argument('--genotype', help='JSON file of a genotype of the same space')
    which.add_argument('--top-k', type=int, metavar='K',
                       help='only list the genotypes of the K best architectures, for a search by ListSearcher')
    which.add_argument('--front', action='store_true',
                       help='only list the genotypes of the Pareto front of reward and costs, best reward first')
    parser.add_argument('--out', help='folder to write, new, empty or an earlier export; default: WORK_DIR/export/NAME.'
                                      ' With --top-k or --front a file, a genotype a line; default: '
                                      'WORK_DIR/export/best-K.jsonl or front.jsonl')
    parser.add_argument('--standalone', action='store_true',
                        help="put the network's classes there too, so that MMDetection runs it without nasdet")


def _add_report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('work_dir', help='of the search')


def _add_confirm(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('work_dir', help='of the search')
    parser.add_argument('--top-k', type=int, default=3, help='how many of the best architectures')
    parser.add_argument('--seeds', type=int, default=3, help='how many trainings of each')
    parser.add_argument('--epochs', type=int, help='of each training; default: what the config says')
    parser.add_argument('--baselines', nargs='+', default=[], metavar='NAME',
                        help='published architectures (nasdet.zoo.names()) to train beside them')


def _add_train(parser: argparse.ArgumentParser) -> None:
    _add_config(parser, 'where logs and checkpoints go')
    parser.add_argument('--amp', action='store_true', help='mixed precision')
    parser.add_argument('--auto-scale-lr', action='store_true', help='scale the learning rate with the batch size')
    parser.add_argument('--resume', nargs='?', const='auto', metavar='CHECKPOINT',
                        help='go on from a checkpoint; without a path, from the latest in the work dir')
    _add_launcher(parser)


def _add_test(parser: argparse.ArgumentParser) -> None:
    _add_config(parser, 'where the metrics go')
    parser.add_argument('checkpoint')
    parser.add_argument('--out', help='pickle file for the predictions')
    parser.add_argument('--show', action='store_true', help='show the predictions')
    parser.add_argument('--show-dir', help='folder for pictures of the predictions')
    parser.add_argument('--wait-time', type=float, default=2, help='of --show, in seconds')
    parser.add_argument('--tta', action='store_true', help='test-time augmentation')
    _add_launcher(parser)


def _add_digits(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('root', metavar='FOLDER', help='may hold several such sets')
    for name, count in dict(train=800, val=200, test=400).items():
        parser.add_argument(f'--{name}', type=int, default=count, help=f'pictures of this split; default: {count}')
    parser.add_argument('--size', type=int, default=128, help='side of the pictures in pixels; default: 128')
    parser.add_argument('--seed', type=int, default=0, help='of all chance; default: 0')


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run one command.

    Args:
        argv: Without the program's name; default: what the process was started with.

    Returns:
        Exit status: 0, or 1 after one sentence about what went wrong, or 130 when interrupted.
    """
    args = build_parser().parse_args(argv)
    if os.environ.get('RANK', '0') == '0':
        print(f'nasdet {__version__}: {args.command}', flush=True)
    try:
        return _run(args)
    except SearchError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        print('nasdet: interrupted; the same command goes on from here', file=sys.stderr)
        return INTERRUPTED
    except Exception as error:      # noqa: BLE001 - every other one keeps its traceback
        if not is_disk_full(error):
            raise
        return _fail(f'the disk is full or broken ({error}): free some space and give the same command again')


def _run(args: argparse.Namespace) -> int:
    if args.command in RUNNING:
        from nasdet.stack import check_operators, resume_problem
        check_operators()
        problem = resume_problem()
        if problem:
            print(f'nasdet: {problem}', file=sys.stderr, flush=True)
    module, function = COMMANDS[args.command]
    return getattr(importlib.import_module(module), function)(args)


def _fail(sentence: str) -> int:
    print(f'nasdet: {sentence}', file=sys.stderr)
    return 1


if __name__ == '__main__':
    sys.exit(main())
