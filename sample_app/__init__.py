"""An order desk: orders come in, invoices and reservations go out. Each file shows one idea."""
