"""Design-space exploration: `hwgen explore FILE`. Read `search.explore` first.

A search asks Optuna for values of some keys of a model.yaml, trains, compresses and plans each such network in a worker
(`trial.run_trial`), and keeps those that no other one beats in every objective: the Pareto front.
"""
