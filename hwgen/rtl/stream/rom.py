def rom_text(module, words, width, banner, title):
    raise NotImplementedError
