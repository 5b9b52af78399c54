"""What a run or a reward looks like: figures, pages and videos."""
