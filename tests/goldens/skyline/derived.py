# Every way that `skyring import` follows to come by a value. What it makes of
# SKIP_LIST must be what Python makes of it.
import os
import os.path as p
import platform
import socket as s
from os import uname
from os.path import join as together

A = 'a'
B = C = "b"
D, E = 'd', 2
F: int = 0x10 + 0o17 + 0b11 + 1_000
G = (
    'one'
    # a comment between the two
    'two'
)
H = ['h0', 'h1', ]
ALIAS = H
H.append('h2')
ALIAS += ['h3']
H.extend(('h4', A))
H.insert(0, 'first')
H[1] = 'replaced'
T = (1, 'x')
M = {'k': 'v', 'n': {'deep': [10, 20]}, 3: 'three', 3.0: 'again', True: 'true'}
M['new'] = 'n'
M.update({'k': 'w'}, )
M.update(kw='kwarg')
N = {**M, 'more': 'm'}
U = {'s1'} | {'s1'}
X = None
LONG = 'l' + A + B + C + D + str(E) + '.' + A + B + C + D + str(E) + '.' + A + B + C

if E == 2 and not X:
    CHOSEN = 'then'
elif E > 2:
    CHOSEN = 'elif'
else:
    CHOSEN = 'else'
if A in H and 'zz' not in M and X is None and 1 < E <= 2:
    if 'k' in M: NESTED = 'nested'
if __name__ == '__main__':
    A = 'never'

try:
    import no_such_module_at_all
except ImportError:
    pass


def unused():
    A = 'a local name'
    return A


SKIP_LIST = [
    A, B, C, D, str(E), str(F), G,
    'x' 'y', u'unicode', r'raw\n', 'esc\x41\u00e9\101\'"\\', '''three
lines'''.replace('\n', '|'), 'a\
b', 'kept \d',
    f'{A}-{B}', f'{{{A}}}', f"{E + 1}", F'{H[0]!s}' 'tail', rf'{A}\n',
    '%s.%s' % (A, B), '%s' % A, '%d%%' % E, '%(k)s' % M, '%s' % X, '%s' % True,
    '{}.{}'.format(A, B), '{1}{0}'.format(A, B), '{x}'.format(x=D), '{{}}'.format(),
    os.path.join('/a', 'b', 'c'), p.join('a/', 'b'), together('a', '/b'), os.path.join('a', ''),
    'then' if E else 'else', A if E != 2 else B, X or 'default', A and B, '' or A,
    s.gethostname(), os.uname()[1], os.uname().nodename, uname()[1], platform.node(),
    s.gethostname().split('.')[0], 'prefix.' + s.gethostname(),
    str(7 // 2), str(-7 // 2), str(-7 % 3), str(7 - 3 * 2), str(2 ** 10), str(7 / 2), str(-E),
    str(1.5 + 1), str(0.1), str(1e3), str(int('42')), str(int(3.9)), str(bool([])), str(~5),
    str(len('abc')), str(True + 1),
    H[0], H[-1], T[1], M['k'], M['n']['deep'][1] and 'deep', M[3], M[1], M['new'], M['kw'],
    N['more'], N.get('k'), N.get('nothing', 'fallback'), 'abc'[1], 'abc'[-1],
    A.upper(), 'A'.lower(), ' x '.strip(), 'x/'.rstrip('/'), 'a.b'.replace('.', '_'),
    '.'.join([A, B]), '-'.join(H), 'a.b.c'.split('.')[2],
    LONG, CHOSEN, NESTED, *H, *U, *tuple(H), *[D, B],
] + H + list(('t1', 't2')) + [A]
SKIP_LIST += ['augmented']
SKIP_LIST = SKIP_LIST
