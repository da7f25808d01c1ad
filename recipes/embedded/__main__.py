from recipes.embedded.build import main

main()
