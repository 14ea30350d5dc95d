#include "src/ev/ev_library.h"

#include <dlfcn.h>
#include <string.h>

int ev_library_load(const char *file, const struct ev_library_name *names, size_t n, void *table,
		    struct ln_fail *f)
{
	void *library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
	if (library == NULL)
		return ln_fail(f, LN_E_UNSUPPORTED, "the library %s cannot be loaded: %.150s", file,
			       dlerror());
	for (size_t i = 0; i < n; i++) {
		void *function = dlsym(library, names[i].text);
		if (function == NULL) {
			(void)dlclose(library);
			return ln_fail(f, LN_E_UNSUPPORTED, "the library %s has no %s", file,
				       names[i].text);
		}
		/* POSIX lets the pointer of an object carry the address of a function. */
		memcpy((char *)table + names[i].at, &function, sizeof(function));
	}
	return 0;
}
