"""Measurements that ship with the library; each writes its figures as JSON."""
