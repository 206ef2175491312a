import pytest

from nasdet import console
from nasdet.console import Bar


@pytest.mark.parametrize('done, eta', [(1, '99:00:00'), (50, '01:00:00'), (75, '00:20:00'), (100, '00:00:00')])
def test_the_eta_counts_hours_beyond_a_day(monkeypatch, capsys, done, eta):
    now = iter([0.0, 3600.0])
    monkeypatch.setattr(console.time, 'monotonic', lambda: next(now))
    with Bar('search', 100) as bar:
        bar.update(done)
    assert f'search: {done}/100, ETA {eta}' in capsys.readouterr().err
