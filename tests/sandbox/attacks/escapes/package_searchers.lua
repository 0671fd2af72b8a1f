return package.searchers or package.loaders or package.loaded.ffi or 1
