"""Ordinary small applications, one a module, run by `kafkaboot run benchmarks/apps`; `BENCH_APP` names the module."""
