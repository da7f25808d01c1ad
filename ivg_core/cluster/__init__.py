"""Work that is done by many processes or machines: a share for each, or tasks handed out by Ray."""
