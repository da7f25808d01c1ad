if __name__ == "__main__":  # the processes that draw need not import what the others do
    from recipes.embedded2.build import main

    main()
