"""What puts an application together: container, auto-configuration, lifecycle, the answer to a failed start."""
