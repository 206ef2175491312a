"""What a search has found, retrained with several seeds beside its baselines, and measured on the test split."""

from nasdet.confirm.confirmation import Confirmation, main, read_rows, run_config, summary

__all__ = ['Confirmation', 'main', 'read_rows', 'run_config', 'summary']
