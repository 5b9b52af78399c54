"""The yaml files that choose who meets whom; a package so that hydra finds them when installed."""
