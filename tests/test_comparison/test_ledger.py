"""The file of results: nothing is lost, counted twice, or half read."""
import json

import pytest

from bkdsnn.comparison.ledger import Ledger


def line(seed=0, status='finished', date='2026-01-01T00:00:00Z', **figures):
    return dict(config_hash='abc', seed=seed, split='test', status=status, date=date, **figures)


def test_results_of_others_are_read_as_they_come(tmp_path):
    mine, other = Ledger(tmp_path / 'out' / 'results.jsonl'), Ledger(tmp_path / 'out' / 'results.jsonl')
    assert mine.lines() == {}
    for seed in range(3):
        other.append(line(seed))
        assert [key[1] for key in mine.lines()] == list(range(seed + 1))


def test_half_a_line_of_a_killed_process_hides_no_other(tmp_path):
    path = tmp_path / 'results.jsonl'
    ledger = Ledger(path)
    ledger.append(line(0))
    with open(path, 'a') as file:
        file.write(json.dumps(line(1))[:20])
    assert len(Ledger(path).lines()) == len(ledger.lines()) == 1
    ledger.append(line(2))
    for reader in (ledger, Ledger(path)):
        assert {key[1] for key in reader.lines()} == {0, 2}


def test_a_line_without_a_date_is_no_result(tmp_path):
    path = tmp_path / 'results.jsonl'
    path.write_text(json.dumps({key: value for key, value in line(status='failed').items() if key != 'date'}) + '\n')
    assert Ledger(path, '2026-01-02T00:00:00Z').lines() == {}


@pytest.mark.parametrize('statuses, expected', [
    (['finished', 'finished'], 0), (['finished', 'failed'], 0), (['failed', 'finished'], 1), (['failed', 'failed'], 0)])
def test_a_run_counts_once_and_best_if_finished(tmp_path, statuses, expected):
    ledger = Ledger(tmp_path / 'results.jsonl')
    for number, status in enumerate(statuses):
        ledger.append(line(status=status, number=number))
    (found, ) = ledger.lines().values()
    assert found['number'] == expected


def test_failed_runs_can_be_forgotten(tmp_path):
    Ledger(tmp_path / 'results.jsonl').append(line(status='failed'))
    assert Ledger(tmp_path / 'results.jsonl', '2026-01-02T00:00:00Z').lines() == {}
    assert len(Ledger(tmp_path / 'results.jsonl', '2025-12-31T00:00:00Z').lines()) == 1
