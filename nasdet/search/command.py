"""The command ``nasdet search``: the search of a config, its control, its report."""

from contextlib import closing
from pathlib import Path

from nasdet.config import load_config
from nasdet.errors import SearchError
from nasdet.report import write_report
from nasdet.search.sampling import Search
from nasdet.search.trained import TrainedSearch


def main(args) -> int:
    """Run ``nasdet search CONFIG --work-dir D [--control] [--cfg-options ...]``."""
    cfg = load_config(args.config, args.cfg_options)
    work_dir = args.work_dir or cfg.get('work_dir') or str(Path('work_dirs') / Path(args.config).stem)
    kind = TrainedSearch if 'trainer' in cfg.get('search', {}) else Search
    with closing(kind.from_cfg(cfg, work_dir)) as search:
        try:
            best = search.run()
        except SearchError:
            write_report(search.work_dir.path)      # shows what failed
            raise
        print(f'best genotype: {best.to_json()}')
        if args.control:
            write_report(search.work_dir.path)      # a control that fails must not cost it
            print(search.run_control())
    report = write_report(search.work_dir.path)
    left = ', '.join(sorted(path.name for path in search.work_dir.best.iterdir()))
    print(f'best: {search.work_dir.best} ({left})\nreport: {report}')
    return 0
