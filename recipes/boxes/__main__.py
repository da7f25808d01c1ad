from recipes.boxes.build import main

main()
