"""The LIBERO benchmark: 130 instructed manipulation tasks in five suites, stepped exactly and shown on demand."""
