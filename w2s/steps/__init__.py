"""One file per stage: takes the loaded inputs apart, calls the library, names the result."""
