//! Programs that are data, and programs that are not.

use super::super::Classes;
use super::{Objects, Value};

fn parse(program: &[u8]) -> Result<Objects<'_>, String> {
    super::parse(program, Classes::Refuse)
}

/// The refusal of a program.
fn refusal(program: &[u8]) -> String {
    parse(program).expect_err("no data")
}

#[test]
fn numbers_of_every_protocol_are_read() {
    fn value(program: &[u8]) -> Value<'_> {
        let objects = parse(program).expect("a number");
        objects.get(objects.root).clone()
    }
    for (program, expected) in [
        (&b"I-12\n."[..], Value::Int(-12)),
        (b"L12L\n.", Value::Int(12)),
        (b"I01\n.", Value::Bool(true)),
        (b"F2.5\n.", Value::Float(2.5)),
        (b"\x80\x02K\xff.", Value::Int(255)),
        (b"M\x01\x02.", Value::Int(513)),
        (b"J\xfe\xff\xff\xff.", Value::Int(-2)),
        (b"\x8a\x00.", Value::Int(0)),
        (b"\x8a\x01\xff.", Value::Int(-1)),
        (b"\x8a\x02\xff\x00.", Value::Int(255)),
        (b"\x8a\x09123456789.", Value::Other("builtins", "int")),
        (b"G\x3f\xf8\0\0\0\0\0\0.", Value::Float(1.5)),
        (b"\x88.", Value::Bool(true)),
        (b"N.", Value::None),
        (b"\x8c\x03abc.", Value::Text("abc")),
        (b"X\x02\0\0\0ab.", Value::Text("ab")),
        (b"C\x02ab.", Value::Bytes),
    ] {
        assert_eq!(value(program), expected, "{program:?}");
    }
}

#[test]
fn containers_and_the_memo_are_read() {
    // {"a": [1, 2], "b": (that list, ())}
    let program = b"\x80\x02}q\x00(X\x01\0\0\0a]q\x01(K\x01K\x02eX\x01\0\0\0bh\x01)\x86u.";
    let objects = parse(program).expect("data");
    let Value::Dict(items) = objects.get(objects.root) else { panic!("no dict") };
    let Value::List(list) = objects.get(items[0].1) else { panic!("no list") };
    assert_eq!(
        list.iter().map(|id| objects.get(*id).clone()).collect::<Vec<_>>(),
        [Value::Int(1), Value::Int(2)]
    );
    let Value::Tuple(pair) = objects.get(items[1].1) else { panic!("no tuple") };
    assert_eq!((pair[0], objects.get(pair[1])), (items[0].1, &Value::Tuple(Vec::new())));
}

#[test]
fn a_list_may_hold_itself() {
    let objects = parse(b"]q\x00h\x00a.").expect("data");
    assert_eq!(objects.get(objects.root), &Value::List(vec![objects.root]));
}

#[test]
fn names_that_could_run_something_are_refused_where_they_stand() {
    for (program, name) in [
        (&b"cos\nsystem\n(X\x02\0\0\0lstR."[..], "os.system"),
        (b"c__builtin__\neval\n)R.", "__builtin__.eval"),
        (b"cbuiltins\ngetattr\n.", "builtins.getattr"),
        (b"ctorchvision\nload\n.", "torchvision.load"),
        (b"ccollections\ndefaultdict\n.", "collections.defaultdict"),
        (b"\x8c\x02os\x8c\x06system\x93.", "os.system"),
        (b"cnumpy.core.multiarray\nscalar\n.", "numpy.core.multiarray.scalar"),
    ] {
        let found = refusal(program);
        assert!(found.contains(name), "{name}: {found}");
    }
    // INST, OBJ, extension codes and outside buffers are not read at all.
    for code in [b'i', b'o', 0x82, 0x83, 0x84, 0x97, 0x98, b'P', 0x92, 0x96, 0xff] {
        let found = refusal(&[b'(', code, b'x', b'\n', b'x', b'\n', b'.']);
        assert!(found.contains(&format!("0x{code:02x}")), "{found}");
    }
}

#[test]
fn objects_of_torch_are_set_aside_and_ordered_dicts_are_dicts() {
    let objects = parse(b"ctorch\ndevice\nX\x03\0\0\0cpu\x85R}b.").expect("data");
    assert_eq!(objects.get(objects.root), &Value::Other("torch", "device"));
    // OrderedDict([("a", None)]) with the attribute `_metadata`.
    let program = b"ccollections\nOrderedDict\n](X\x01\0\0\0aN\x86e\x85R}X\x09\0\0\0_metadata}sb.";
    let objects = parse(program).expect("data");
    let Value::Dict(items) = objects.get(objects.root) else { panic!("no dict") };
    assert_eq!(objects.get(items[0].0), &Value::Text("a"));
    let objects = parse(b"ctorch\nSize\nK\x02K\x03\x86\x85R.").expect("data");
    assert!(matches!(objects.get(objects.root), Value::Tuple(sizes) if sizes.len() == 2));
}

#[test]
fn broken_programs_are_refused() {
    for program in [
        &b""[..],
        b".",
        b"0.",
        b"1.",
        b"2.",
        b"(0.",
        b"t.",
        b"(K\x01u.",
        b"}(K\x01u.",
        b"K\x01K\x02a.",
        b"K\x01K\x02K\x03s.",
        b"h\x05.",
        b"q\x00.",
        b"X\xff\xff\xff\xffab.",
        b"\x8d\xff\xff\xff\xff\xff\xff\xff\xffab.",
        b"\x8b\xff\xff\xff\xff.",
        b"X\x01\0\0\0\xff.",
        b"Inonsense\n.",
        b"gx\n.",
        b"cos",
        b"K\x01)R.",
        b"ccollections\nOrderedDict\nK\x01R.",
        b"ccollections\nOrderedDict\nK\x01\x85R.",
        b"ctorch._utils\n_rebuild_tensor_v2\n)R.",
        b"ctorch._utils\n_rebuild_parameter\n)R.",
        b"X\x07\0\0\0storage\x85Q.",
        b"K\x01K\x02b.",
        b"K\x01\x93.",
    ] {
        refusal(program);
    }
    assert!(refusal(&vec![b'N'; super::LONGEST + 1]).contains("longer"));
}

#[test]
fn classes_are_passed_over_only_where_that_is_asked_and_their_attributes_kept() {
    // {"cfg": Config with {"k": 3}, "run": os.system("ls")}
    let program = b"}(X\x03\0\0\0cfgcsae.config\nConfig\n)\x81}X\x01\0\0\0kK\x03sbX\x03\0\0\0runcos\nsystem\nX\x02\0\0\0ls\x85Ru.";
    assert!(refusal(program).contains("sae.config.Config"));
    let objects = super::parse(program, Classes::Skip).expect("data");
    assert_eq!(objects.skipped(), ["os.system", "sae.config.Config"]);
    let Value::Dict(items) = objects.get(objects.root) else { panic!("no dict") };
    assert_eq!(objects.get(items[1].1), &Value::Other("os", "system"), "it was not run");
    let state = objects.attributes(items[0].1).expect("attributes");
    let Value::Dict(state) = objects.get(state) else { panic!("no dict") };
    assert_eq!(objects.get(state[0].1), &Value::Int(3));
}

#[test]
fn copies_of_copies_end() {
    // A dict of many items, copied by a call of five bytes again and again.
    let mut program = b"(".to_vec();
    program.extend(b"NN".repeat(1 << 19));
    program.extend(b"dq\x00ccollections\nOrderedDict\nq\x01");
    program.extend(b"h\x01h\x00\x85R".repeat(1 << 17));
    program.push(b'.');
    assert!(refusal(&program).contains("copies"));
}
