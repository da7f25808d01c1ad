"""The embedded model, second edition: trained from nothing within minutes on one GPU, on scenes drawn meanwhile.

``python -m recipes.embedded2 --device cuda --minutes 9 --out OUT`` does it all; :mod:`.build` starts the processes.
``python -m recipes.embedded2.prolong --out OUT`` goes on with stage 2 on a CPU.
"""
