"""How the embedded model learned that hands go back: a LoRA, trained on the steps of drawn plans."""

from recipes.how_to.build import main

main()
