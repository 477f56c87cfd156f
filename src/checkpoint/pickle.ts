// A strict reader of Python pickles. It builds plain data, and never calls, imports or assigns
// anything by a name from the file. The format: CPython's Lib/pickletools.py.
//
// Rules for names of Python objects ("globals"):
// 1. Nothing is ever called. A global is two strings. Calling one (REDUCE, NEWOBJ, INST, OBJ) gives
//    a PickleObject with its name and arguments, except for a few plain containers and for what the
//    `rebuild` hook takes.
// 2. Globals of Python's standard library are refused by name, except for the plain data types
//    listed below: a file that names os.system or builtins.eval is an attack on those who open it
//    in Python.
// 3. All others (torch, numpy, ml_collections, classes of the training program) are kept as names.
//
// Why not the npm package pickleparser (0.2.1, read and tried): a BINBYTES of negative length moves
// its reader backwards, so that it loops until memory ends; BUILD assigns to whatever is on the
// stack, so that a list can get a length of four billion and then be spread into a call; DICT
// assigns by key, even "__proto__"; LONG1 reads -1 as 255. A caller cannot guard against any of
// these.

import { InputError } from "../errors.js";
import { shown } from "./text.js";

/** A Python class or function: only its name. */
export class PickleGlobal {
  readonly module: string;
  readonly name: string;

  constructor(module: string, name: string) {
    this.module = module;
    this.name = name;
  }

  get path(): string {
    return `${this.module}.${this.name}`;
  }
}

/**
 * Stands for the result of calling `type` with `args`, and keeps what the pickle puts into it
 * later.
 */
export class PickleObject {
  readonly type: PickleGlobal;
  readonly args: readonly PickleValue[];
  /** What BUILD set; for most classes a dictionary of attributes. */
  state: PickleValue = null;
  /** Items, if the class is a dictionary. */
  readonly items = new Map<PickleValue, PickleValue>();
  /** Elements, if the class is a list or set. */
  readonly elements: PickleValue[] = [];

  constructor(type: PickleGlobal, args: readonly PickleValue[]) {
    this.type = type;
    this.args = args;
  }
}

/** Base class of the values that hooks make. */
export abstract class PickleForeign {
  /** Without it, TypeScript would accept any object as a PickleForeign. */
  protected readonly foreign = true;
}

/** A value of a pickle. Lists, tuples and sets become arrays, dictionaries become Maps. */
export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | PickleGlobal
  | PickleObject
  | PickleForeign
  | PickleValue[]
  | Map<PickleValue, PickleValue>;

/** Makes values of what a pickle refers to or calls. */
export interface PickleHooks {
  /**
   * What a persistent id stands for (in torch: a storage).
   * @throws InputError if the id is unknown
   */
  persistent(id: PickleValue): PickleValue;
  /**
   * The value of calling a global. Undefined makes it a {@link PickleObject}.
   * @throws InputError if the arguments are wrong
   */
  rebuild(type: PickleGlobal, args: readonly PickleValue[]): PickleValue | undefined;
}

/**
 * Limits memory: a step makes at most one small object. A checkpoint takes about 30 steps per
 * tensor.
 */
const maxSteps = 2_000_000;
/**
 * A checkpoint's integers have 64 bits, the state of a random generator thousands; Python has no
 * limit.
 */
const maxIntegerBytes = 4096;

/** Top-level modules of Python's standard library, 2.7 to 3.14 (sys.stdlib_module_names). */
const pythonModules: ReadonlySet<string> = new Set(
  `
  _abc abc aifc _aix_support _android_support annotationlib antigravity _apple_support argparse array _ast ast
  asynchat _asyncio asyncio asyncore atexit audioop base64 bdb binascii _bisect bisect _blake2 _bootsubprocess
  __builtin__ builtins _bz2 bz2 calendar cgi cgitb chunk cmath cmd code _codecs codecs _codecs_cn _codecs_hk
  _codecs_iso2022 _codecs_jp _codecs_kr _codecs_tw codeop _collections collections _collections_abc _colorize colorsys
  commands _compat_pickle compileall _compression concurrent configparser contextlib _contextvars contextvars copy
  copy_reg copyreg cPickle cProfile _crypt crypt _csv csv _ctypes ctypes _curses curses _curses_panel dataclasses
  _datetime datetime _dbm dbm _decimal decimal difflib dis distutils doctest _elementtree email encodings ensurepip
  enum errno faulthandler fcntl filecmp fileinput fnmatch fractions _frozen_importlib _frozen_importlib_external
  ftplib _functools functools __future__ gc _gdbm genericpath getopt getpass gettext glob graphlib grp gzip _hashlib
  hashlib _heapq heapq hmac html http idlelib imaplib imghdr _imp imp importlib inspect _interpchannels _interpqueues
  _interpreters _io io _ios_support ipaddress itertools _json json keyword lib2to3 linecache _locale locale logging
  _lsprof _lzma lzma mailbox mailcap _markupbase marshal math _md5 mimetypes mmap modulefinder _msi msilib msvcrt
  _multibytecodec _multiprocessing multiprocessing netrc nis nntplib nt ntpath nturl2path numbers _opcode opcode
  _opcode_metadata _operator operator optparse os ossaudiodev _osx_support _overlapped pathlib pdb _pickle pickle
  pickletools pipes pkgutil platform plistlib popen2 poplib posix posixpath _posixshmem _posixsubprocess pprint
  profile pstats pty pwd _py_abc py_compile pyclbr _pydecimal pydoc pydoc_data pyexpat _pyio _pyrepl _queue queue
  quopri _random random re readline _remote_debugging reprlib resource rlcompleter runpy sched _scproxy secrets select
  selectors _sha1 _sha256 _sha3 _sha512 shelve shlex shutil _signal signal site _sitebuiltins smtpd smtplib sndhdr
  _socket socket socketserver spwd _sqlite3 sqlite3 _sre sre_compile sre_constants sre_parse _ssl ssl _stat stat
  _statistics statistics _string string stringprep _strptime _struct struct subprocess _suggestions sunau _symtable
  symtable sys _sysconfig sysconfig syslog tabnanny tarfile telnetlib tempfile termios textwrap this _thread threading
  _threading_local time timeit _tkinter tkinter token _tokenize tokenize tomllib trace traceback _tracemalloc
  tracemalloc tty turtle turtledemo types _typing typing unicodedata unittest urllib uu _uuid uuid venv _warnings
  warnings wave _weakref weakref _weakrefset webbrowser _winapi winreg winsound wsgiref xdrlib xml xmlrpc zipapp
  zipfile zipimport zlib _zoneinfo zoneinfo _zstd
`
    .trim()
    .split(/\s+/),
);

/** Globals of the standard library that are plain data, which an honest checkpoint may contain. */
const plainGlobals: Readonly<Record<string, readonly string[]>> = {
  builtins:
    "object bool int long float complex str unicode bytes bytearray list tuple dict set frozenset range xrange slice".split(
      " ",
    ),
  collections: ["OrderedDict", "defaultdict", "Counter", "deque"],
  copyreg: ["_reconstructor", "__newobj__", "__newobj_ex__"],
  _codecs: ["encode"],
  argparse: ["Namespace"],
  types: ["SimpleNamespace"],
  datetime: ["datetime", "date", "time", "timedelta", "timezone"],
  decimal: ["Decimal"],
  fractions: ["Fraction"],
  uuid: ["UUID"],
  pathlib: ["Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath"],
};

/** Other names of these modules: Python 2's, and pathlib's since 3.13. */
const moduleAliases: Readonly<Record<string, string>> = {
  __builtin__: "builtins",
  copy_reg: "copyreg",
  "pathlib._local": "pathlib",
};

/** Whether a global is from the standard library and not plain data. */
function isForbidden(module: string, name: string): boolean {
  // Protocol 4 allows paths as names: ("torch.serialization", "os.system") is os.system.
  if (
    name
      .split(".")
      .slice(0, -1)
      .some((part) => pythonModules.has(part))
  )
    return true;
  if (!pythonModules.has(module.split(".")[0])) return false;
  const canonical = Object.hasOwn(moduleAliases, module) ? moduleAliases[module] : module;
  return !(Object.hasOwn(plainGlobals, canonical) && plainGlobals[canonical].includes(name));
}

/**
 * Python's dict(): of nothing, a dictionary, or a sequence of pairs. Undefined for anything else.
 */
function dictionaryFrom(source: PickleValue | undefined): Map<PickleValue, PickleValue> | undefined {
  if (source === undefined) return new Map();
  if (source instanceof Map) return new Map(source);
  if (!Array.isArray(source)) return undefined;
  const dictionary = new Map<PickleValue, PickleValue>();
  for (const pair of source) {
    if (!Array.isArray(pair) || pair.length !== 2) return undefined;
    dictionary.set(pair[0], pair[1]);
  }
  return dictionary;
}

/**
 * The value of calling a container's class, the same as of a literal. Undefined for other globals.
 */
function plainContainer(type: PickleGlobal, args: readonly PickleValue[]): PickleValue | undefined {
  switch (type.path) {
    case "collections.OrderedDict":
    case "builtins.dict":
    case "__builtin__.dict":
      return dictionaryFrom(args[0]);
    case "collections.defaultdict":
      return dictionaryFrom(args[1]);
    case "builtins.list":
    case "builtins.tuple":
    case "builtins.set":
    case "builtins.frozenset":
    case "__builtin__.list":
    case "__builtin__.tuple":
    case "__builtin__.set":
    case "__builtin__.frozenset":
      if (args.length === 0) return [];
      return Array.isArray(args[0]) ? [...args[0]] : undefined;
    default:
      return undefined;
  }
}

/** Little-endian two's complement of any length. */
function integerFrom(bytes: Uint8Array): number | bigint {
  let value = 0n;
  if (bytes.length > 0) {
    const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0"))
      .reverse()
      .join("");
    value = BigInt.asIntN(bytes.length * 8, BigInt(`0x${hex}`));
  }
  return compactInteger(value);
}

function compactInteger(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

class PickleReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #name: string;
  readonly #hooks: PickleHooks;
  readonly #decoder = new TextDecoder();
  readonly #memo = new Map<number, PickleValue>();
  /** Stacks below the last MARK. */
  readonly #outer: PickleValue[][] = [];
  #stack: PickleValue[] = [];
  #at = 0;
  #steps = 0;

  constructor(bytes: Uint8Array, name: string, hooks: PickleHooks) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#name = name;
    this.#hooks = hooks;
  }

  read(): PickleValue {
    for (;;) {
      this.#charge(1);
      const at = this.#at;
      const code = this.#byte();
      const operation = String.fromCharCode(code);
      if (operation === ".") return this.#pop(); // STOP
      const value = this.#valueOf(operation);
      if (value !== undefined) this.#stack.push(value);
      else if (!this.#act(operation)) {
        this.#fail(`operation 0x${code.toString(16).padStart(2, "0")} at byte ${at} is unknown or not supported`);
      }
    }
  }

  #charge(steps: number): void {
    this.#steps += steps;
    if (this.#steps > maxSteps) this.#fail(`more than ${maxSteps} steps`);
  }

  /** The value of an operation that pushes one value. Undefined for any other operation. */
  #valueOf(operation: string): PickleValue | undefined {
    switch (operation) {
      case "N": // NONE
        return null;
      case "\x88": // NEWTRUE
        return true;
      case "\x89": // NEWFALSE
        return false;

      case "J": // BININT
        return this.#view.getInt32(this.#take(4), true);
      case "K": // BININT1
        return this.#byte();
      case "M": // BININT2
        return this.#view.getUint16(this.#take(2), true);
      case "\x8a": // LONG1
        return integerFrom(this.#blob(this.#byte()));
      case "\x8b": {
        const length = this.#uint32(); // LONG4
        return length > maxIntegerBytes ? this.#fail(`an integer of ${length} bytes`) : integerFrom(this.#blob(length));
      }
      case "I": {
        const text = this.#line(); // INT; protocols 0 and 1 use it for booleans as well
        return text === "00" || text === "01" ? text === "01" : this.#integerFromText(text);
      }
      case "L": // LONG
        return this.#integerFromText(this.#line().replace(/L$/, ""));
      case "G": // BINFLOAT
        return this.#view.getFloat64(this.#take(8), false);
      case "F": // FLOAT
        return Number(this.#line());

      // Python 2's byte strings are read as text. Escapes of protocol 0 are not decoded.
      case "X": // BINUNICODE
      case "T": // BINSTRING
        return this.#text(this.#uint32());
      case "\x8c": // SHORT_BINUNICODE
      case "U": // SHORT_BINSTRING
        return this.#text(this.#byte());
      case "\x8d": // BINUNICODE8
        return this.#text(this.#uint64());
      case "V": // UNICODE
        return this.#line();
      case "S": // STRING
        return this.#line().replace(/^(['"])(.*)\1$/, "$2");
      case "B": // BINBYTES
        return this.#blob(this.#uint32());
      case "C": // SHORT_BINBYTES
        return this.#blob(this.#byte());
      case "\x8e": // BINBYTES8
      case "\x96": // BYTEARRAY8
        return this.#blob(this.#uint64());

      case ")": // EMPTY_TUPLE
      case "]": // EMPTY_LIST
      case "\x8f": // EMPTY_SET
        return [];
      case "t": // TUPLE
      case "l": // LIST
      case "\x91": // FROZENSET
        return this.#popToMark();
      case "\x85": // TUPLE1
        return this.#popMany(1);
      case "\x86": // TUPLE2
        return this.#popMany(2);
      case "\x87": // TUPLE3
        return this.#popMany(3);
      case "}": // EMPTY_DICT
        return new Map();
      case "d": // DICT
        return this.#withItems(new Map(), this.#popToMark());

      case "2": // DUP
        return this.#top();
      case "h": // BINGET
        return this.#recall(this.#byte());
      case "j": // LONG_BINGET
        return this.#recall(this.#uint32());
      case "g": // GET
        return this.#recall(Number(this.#line()));

      case "c": // GLOBAL
        return this.#global(this.#line(), this.#line());
      case "\x93": {
        const [module, name] = this.#popMany(2); // STACK_GLOBAL
        return this.#global(module, name);
      }
      case "R": // REDUCE
      case "\x81": {
        const [type, args] = this.#popMany(2); // NEWOBJ
        return this.#call(type, args);
      }
      case "\x92": {
        const [type, args] = this.#popMany(3); // NEWOBJ_EX; keyword arguments are dropped
        return this.#call(type, args);
      }
      case "i": {
        const type = this.#global(this.#line(), this.#line()); // INST
        return this.#call(type, this.#popToMark());
      }
      case "o": {
        const [type, ...args] = this.#popToMark(); // OBJ
        return this.#call(type, args);
      }
      case "Q": // BINPERSID
        return this.#hooks.persistent(this.#pop());

      default:
        return undefined;
    }
  }

  /**
   * Runs an operation that changes the stack, the memo or a value. False if it is unknown; so are
   * some that torch.save never writes: text persistent ids, extension codes, out-of-band buffers.
   */
  #act(operation: string): boolean {
    switch (operation) {
      case "\x80": {
        const protocol = this.#byte(); // PROTO
        if (protocol > 5) this.#fail(`unknown protocol ${protocol}`);
        break;
      }
      case "\x95": // FRAME
        this.#take(8);
        break;
      case "(": // MARK
        this.#outer.push(this.#stack);
        this.#stack = [];
        break;
      case "0": // POP; right after a MARK it removes the MARK
        if (this.#stack.length === 0) this.#popToMark();
        else this.#pop();
        break;
      case "1": // POP_MARK
        this.#popToMark();
        break;

      case "a": {
        const item = this.#pop(); // APPEND
        this.#append([item]);
        break;
      }
      case "e": // APPENDS
      case "\x90": {
        const items = this.#popToMark(); // ADDITEMS
        this.#append(items);
        break;
      }
      case "s": {
        const items = this.#popMany(2); // SETITEM
        this.#setItems(items);
        break;
      }
      case "u": {
        const items = this.#popToMark(); // SETITEMS
        this.#setItems(items);
        break;
      }
      case "b": // BUILD
        this.#build();
        break;

      case "q": // BINPUT
        this.#memorise(this.#byte());
        break;
      case "r": // LONG_BINPUT
        this.#memorise(this.#uint32());
        break;
      case "p": // PUT
        this.#memorise(Number(this.#line()));
        break;
      case "\x94": // MEMOIZE
        this.#memorise(this.#memo.size);
        break;

      default:
        return false;
    }
    return true;
  }

  #global(module: PickleValue | undefined, name: PickleValue | undefined): PickleGlobal {
    if (typeof module !== "string" || typeof name !== "string") return this.#fail("a name that is not text");
    if (isForbidden(module, name)) {
      // Python pickles functions of os under the name of the system's module.
      const alias = module === "posix" || module === "nt" ? ` (os.${shown(name).slice(1, -1)})` : "";
      throw new InputError(
        `${this.#name}: refused: its pickle asks for ${shown(`${module}.${name}`)}${alias}, which no checkpoint needs (nothing was run)`,
      );
    }
    return new PickleGlobal(module, name);
  }

  #call(type: PickleValue | undefined, args: PickleValue | undefined): PickleValue {
    if (!(type instanceof PickleGlobal)) return this.#fail("a call of something that is not a name");
    if (!Array.isArray(args)) return this.#fail(`a call of ${shown(type.path)} without a list of arguments`);
    // Python's containers copy what they are given.
    for (const arg of args) this.#charge(Array.isArray(arg) ? arg.length : arg instanceof Map ? arg.size : 0);
    return plainContainer(type, args) ?? this.#hooks.rebuild(type, args) ?? new PickleObject(type, args);
  }

  /** BUILD: keeps the attributes of a PickleObject, drops those of plain data. */
  #build(): void {
    const state = this.#pop();
    const target = this.#top();
    if (target instanceof PickleObject) target.state = state;
    else if (typeof target !== "object" || target === null || target instanceof PickleGlobal) {
      this.#fail("attributes for something that is not an object");
    }
  }

  #append(items: PickleValue[]): void {
    const target = this.#top();
    const list = target instanceof PickleObject ? target.elements : target;
    if (!Array.isArray(list)) this.#fail("items for something that is not a list");
    else for (const item of items) list.push(item);
  }

  #setItems(items: PickleValue[]): void {
    const target = this.#top();
    const dictionary = target instanceof PickleObject ? target.items : target;
    if (!(dictionary instanceof Map)) this.#fail("items for something that is not a dictionary");
    else this.#withItems(dictionary, items);
  }

  /** `dictionary` after setting `items`, in which keys and values alternate. */
  #withItems(dictionary: Map<PickleValue, PickleValue>, items: PickleValue[]): Map<PickleValue, PickleValue> {
    if (items.length % 2 !== 0) this.#fail("a key without a value");
    for (let i = 0; i < items.length; i += 2) dictionary.set(items[i], items[i + 1]);
    return dictionary;
  }

  #memorise(key: number): void {
    this.#memo.set(key, this.#top());
  }

  #recall(key: number): PickleValue {
    return this.#memo.get(key) ?? (this.#memo.has(key) ? null : this.#fail(`nothing was stored under ${key}`));
  }

  #top(): PickleValue {
    const value = this.#stack.at(-1);
    return value === undefined ? this.#fail("the stack is empty") : value;
  }

  #pop(): PickleValue {
    const value = this.#stack.pop();
    return value === undefined ? this.#fail("the stack is empty") : value;
  }

  #popMany(count: number): PickleValue[] {
    if (this.#stack.length < count) this.#fail("the stack is empty");
    return this.#stack.splice(-count);
  }

  #popToMark(): PickleValue[] {
    const items = this.#stack;
    const outer = this.#outer.pop();
    if (!outer) return this.#fail("no mark on the stack");
    this.#stack = outer;
    return items;
  }

  /** Consumes `length` bytes; gives their position. */
  #take(length: number): number {
    const at = this.#at;
    if (length > this.#bytes.length - at) this.#fail("it ends in the middle");
    this.#at = at + length;
    return at;
  }

  #byte(): number {
    return this.#bytes[this.#take(1)];
  }

  #uint32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  #uint64(): number {
    return Number(this.#view.getBigUint64(this.#take(8), true));
  }

  #blob(length: number): Uint8Array {
    const at = this.#take(length);
    return this.#bytes.subarray(at, at + length);
  }

  #text(length: number): string {
    return this.#decoder.decode(this.#blob(length));
  }

  #line(): string {
    const end = this.#bytes.indexOf(0x0a, this.#at);
    if (end < 0) return this.#fail("it ends in the middle");
    const text = this.#text(end - this.#at);
    this.#at = end + 1;
    return text;
  }

  #integerFromText(text: string): number | bigint {
    if (text.length > maxIntegerBytes || !/^-?\d+$/.test(text)) return this.#fail(`${shown(text)} is not an integer`);
    return compactInteger(BigInt(text));
  }

  #fail(what: string): never {
    throw new InputError(`${this.#name}: its pickle cannot be read: ${what}`);
  }
}

/**
 * Reads a pickle of any protocol as plain data. Never runs anything in it, see the rules at the top
 * of this file. As in Python, the value may contain itself.
 * @param name the file's name, for messages
 * @throws InputError if the pickle is damaged, too large, or names a forbidden global
 */
export function readPickle(bytes: Uint8Array, name: string, hooks: PickleHooks): PickleValue {
  return new PickleReader(bytes, name, hooks).read();
}
