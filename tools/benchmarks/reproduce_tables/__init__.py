"""The comparisons of the NAT paper, on networks and with budgets that two CPU cores can bear: docs/paper.md."""
