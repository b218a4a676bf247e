SELECT
                    set_config('jit', 'on', false);

CLOSE ALL;

UNLISTEN *;
