// Precompiled once and kept in the cache; read as it stands if the compiler rejects the precompiled form.
#include "verilated.h"
