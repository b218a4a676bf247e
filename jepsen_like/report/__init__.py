"""What people read of a run: the card in the terminal, the page in the browser."""
