# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Hostile and damaged model folders, read by moe-import; some once more by moe-compile and moe-run."""

from broken import (INDEX, WEIGHTS, config, config_text, cut, folder_instead, gone, grown, header, index, length, link,
                    model, pipe, read, replace, shard, sparse, tensor, text, write)

GATE = "model.layers.0.block_sparse_moe.gate.weight"
HUGE = 1 << 62


def safetensors(case):
    overlap = {"data_offsets": [5356, 10716]}
    case("cut short", "S104", cut(WEIGHTS, -100))
    case("cut in the header", "S102", cut(WEIGHTS, 3000))
    case("four bytes", "S101", cut(WEIGHTS, 4))
    case("empty", "F103", cut(WEIGHTS, 0))
    case("header longer than the file", "S102", length(90000))
    case("header of 2^63 bytes", "S103", length(1 << 63))
    case("header length of all ones", "S103", length((1 << 64) - 1))
    case("header of 120 MB", "S103", sparse(WEIGHTS, 130_000_000, (120_000_000).to_bytes(8, "little")))
    case("header length zero", "S105", length(0))
    case("header no JSON", "S105", header(lambda table: b"PK\x03\x04 this is an archive of pickles"))
    case("header an array", "S105", header(lambda table: b"[]"))
    case("header nested deep", "S105", header(lambda table: b'{"a":' + b"[" * 1000))
    case("header of control characters", "S114", replace(GATE, "\\u001b[31mred"))
    case("tensor name twice", "S112", replace('"model.norm.weight"', '"lm_head.weight"'))
    case("tensors overlap", "S110", tensor("model.embed_tokens.weight", **overlap))
    case("tensor beyond the file", "S104", tensor("model.norm.weight", data_offsets=[62880 + 4096, 62960 + 4096]))
    case("tensor at 2^62", "S104", tensor("model.norm.weight", data_offsets=[HUGE, HUGE + 80]))
    case("tensor end overflows", "J104", replace("[62880, 62960]", "[62880, 18446744073709551696]"))
    case("tensor at minus one", "S105", replace("[62880, 62960]", "[-80, 62960]"))
    case("tensor end before its begin", "S115", tensor("model.norm.weight", data_offsets=[62960, 62880]))
    case("tensor misaligned", "S111", grown(WEIGHTS, b"\0"),
         tensor("model.norm.weight", data_offsets=[62881, 62961]))
    case("bytes of no tensor", "S111", grown(WEIGHTS, b"\0" * 64))
    case("hole between tensors", "S111", header(lambda table: table.pop("model.embed_tokens.weight") and None))
    case("shape overflows", "S108", tensor("model.norm.weight", shape=[1 << 33, 1 << 33]))
    case("shape negative", "S108", tensor("model.norm.weight", shape=[-20]))
    case("shape no integers", "S105", tensor("model.norm.weight", shape=[20.5]))
    case("shape of 100 dimensions", "S108", tensor("model.norm.weight", shape=[1] * 100))
    case("shape too small for its bytes", "S109", tensor("model.norm.weight", shape=[19]))
    case("dtype unknown", "S106", tensor("model.norm.weight", dtype="F33"))
    case("dtype of a quantised format", "S107", tensor("model.norm.weight", dtype="F8_E8M0", shape=[80]))
    case("dtype no text", "S105", tensor("model.norm.weight", dtype=32))
    case("tensor without a shape", "S105", header(lambda table: table["model.norm.weight"].pop("shape") and None))
    case("metadata no text", "S113", header(lambda table: table.update({"__metadata__": {"format": ["pt"]}})))
    case("a folder for weights", "F102", folder_instead(WEIGHTS))
    case("a pipe for weights", "F102", pipe(WEIGHTS))
    case("a link for weights", "F104", link(WEIGHTS))


def tensors(case):
    case("tensor missing", "W101", rename(GATE, None))
    case("tensor too many", "W104", rename(GATE, GATE + "s", keep=True))
    case("tensor of another name", "W101", rename("lm_head.weight", "lm_haed.weight"))
    case("tensor transposed", "W102", tensor(GATE, shape=[20, 5]))
    case("tensor of another rank", "W102", tensor(GATE, shape=[100]))
    case("tensor of integers", "W110", tensor(GATE, dtype="I32"))
    case("fewer experts than config.json says", "C106", config(num_local_experts=6))
    case("fewer layers than config.json says", "C106", config(num_hidden_layers=3))
    case("more layers than config.json says", "C106", config(num_hidden_layers=1))
    case("vocabulary of another size", "W102", config(vocab_size=68))
    case("no weights", "S201", gone(WEIGHTS))
    case("weights as a pickle", "S201", gone(WEIGHTS), text("pytorch_model.bin", b"\x80\x02}q\x00."))


def rename(name, other, keep=False):
    """Gives a tensor another name, or none; |keep| adds a copy of its bytes."""
    def apply(folder):
        table, data = read(folder / WEIGHTS)
        begin, end = table[name]["data_offsets"]
        if keep:
            table[other] = {**table[name], "data_offsets": [len(data), len(data) + end - begin]}
            data += data[begin:end]
        elif other:
            table[other] = table.pop(name)
        else:
            del table[name]
            data = data[:begin] + data[end:]
            for key, entry in table.items():
                if key != "__metadata__" and entry["data_offsets"][0] >= end:
                    entry["data_offsets"] = [at - (end - begin) for at in entry["data_offsets"]]
        write(folder / WEIGHTS, table, data)
    return apply


def shards(case):
    first = "lm_head.weight"

    def named(name):
        return index(lambda weight_map: weight_map.update({first: name}))

    def copied(folder):
        shard(folder, 0).rename(folder / "aside")
        (folder / shard(folder, 0).name.replace("00002", "00001")).write_bytes(shard(folder, 0).read_bytes())

    case("shard above the folder", "S203", named("../model-00001-of-00010.safetensors"))
    case("shard of an absolute path", "S203", named("/etc/hostname.safetensors"))
    case("shard in a folder", "S203", named("sub/a.safetensors"))
    case("shard of two dots", "S203", named(".."))
    case("shard of no name", "S203", named(""))
    case("shard no safetensors", "S203", named("model-00001-of-00010.bin"))
    case("shard name with a zero byte", "S203", named("a.safetensors\0.safetensors"))
    case("shard missing", "S204", lambda folder: shard(folder, 3).unlink())
    case("shard a link", "F104", lambda folder: link(shard(folder, 3).name)(folder))
    case("shard a folder", "F102", lambda folder: folder_instead(shard(folder, 3).name)(folder))
    case("shard cut short", "S104", lambda folder: cut(shard(folder, 9).name, -1)(folder))
    case("shard twice", "S206", copied)
    case("index names a tensor that is nowhere", "S206", index(
        lambda weight_map: weight_map.update({"model.ghost.weight": weight_map[first]})))
    case("index forgets a tensor", "S208", index(lambda weight_map: weight_map.pop(first)))
    case("index names a shard of numbers", "S202", named(7))
    case("index a link", "F104", link(INDEX))
    case("index cut short", "J101", cut(INDEX, 4000))
    case("index with a key twice", "J102", lambda folder: text(INDEX, (folder / INDEX).read_text().replace(
        '"weight_map": {', '"weight_map": {"lm_head.weight": "a.safetensors", ', 1))(folder))
    case("index without weight_map", "S202", text(INDEX, "{}"))


def configs(case):
    case("missing", "C101", gone("config.json"))
    case("empty", "F103", cut("config.json", 0))
    case("cut short", "J101", cut("config.json", 300))
    case("no object", "C102", text("config.json", "[1, 2]"))
    case("no UTF-8", "J101", text("config.json", b'{"model_type": "mixtral\xff"}'))
    case("with a comment", "J101", config_text('"dtype"', '// f32\n"dtype"'))
    case("with NaN", "J101", config_text('1e-05', 'NaN'))
    case("with a key twice", "J102", config_text('"hidden_act"', '"hidden_size": 24, "hidden_act"'))
    case("nested deep", "J103", config_text('"silu"', "[" * 100 + "]" * 100))
    case("number of 400 digits", "J104", config_text('"vocab_size": 67', '"vocab_size": ' + "9" * 400))
    case("number of 65 bits", "J104", config_text('"vocab_size": 67', '"vocab_size": 36893488147419103232'))
    case("number 1e999", "J104", config_text("1e-05", "1e999"))
    case("of 5 MB", "J105", text("config.json", '{"model_type": "' + "m" * 5_000_000 + '"}'))
    case("a link", "F104", link("config.json"))
    case("a folder", "F102", folder_instead("config.json"))
    case("model type unknown", "C107", config(model_type="gemma7"))
    case("model type with escapes", "C107", config(model_type="\x1b]0;x\x07" + "long" * 100))
    case("model type a number", "C104", config(model_type=7))
    case("model type missing", "C103", config(model_type=None))
    case("key that changes the maths", "C108", config(attn_logit_softcapping=30.0))
    case("key of another family", "C108", config(n_group=2))
    case("biases that the family has not", "C109", config(attention_bias=True))
    case("activation unknown", "C109", config(hidden_act="xielu"))
    case("rope of an unknown type", "C109", config(rope_parameters={"rope_type": "spiral", "rope_theta": 1e4}))
    case("rope of base zero", "C105", config(rope_parameters={"rope_type": "default", "rope_theta": 0}))
    case("weights quantised", "C110", config(quantization_config={"quant_method": "awq", "bits": 4}))
    case("hidden size negative", "C105", config(hidden_size=-20))
    case("hidden size of 2^40", "C105", config(hidden_size=1 << 40))
    case("hidden size text", "C104", config(hidden_size="20"))
    case("hidden size missing", "C103", config(hidden_size=None))
    case("heads of odd width", "C106", config(head_dim=15))
    case("experts fewer than chosen", "C106", config(num_experts_per_tok=6))
    case("end id outside the vocabulary", "C105", config(eos_token_id=67))
    case("epsilon negative", "C105", config(rms_norm_eps=-1e-5))


def grouped(case):
    case("groups that do not divide experts", "C106", config(n_group=3))
    case("more groups kept than there are", "C106", config(topk_group=3))
    case("routing method unknown", "C109", config(topk_method="noaux_tc"))
    case("scores of another function", "C109", config(scoring_func="sigmoid"))
    case("dense layers in turn", "C109", config(moe_layer_freq=2))


def cases(make, fixtures, _work):
    made = []

    def importing(area, fixture):
        def add(name, code, *changes):
            made.append(make(f"{area}: {name}", code, ["moe-import", "m", "-o", "out.mlir"],
                             model(fixtures / fixture, *changes, text("../out.mlir", "kept"))))
        return add

    safetensors(importing("safetensors", "mixtral-1"))
    tensors(importing("tensors", "mixtral-1"))
    shards(importing("shards", "mixtral-3"))
    configs(importing("config", "mixtral-1"))
    grouped(importing("deepseek_v2", "deepseek_v2-1"))

    def compiling(name, code, *changes):
        made.append(make(f"moe-compile: {name}", code, ["moe-compile", "m", "-o", "out.moe"],
                         model(fixtures / "mixtral-1", *changes, text("../out.moe", "kept"))))

    compiling("weights cut short", "S104", cut(WEIGHTS, -100))
    compiling("tensor transposed", "W102", tensor(GATE, shape=[20, 5]))
    compiling("model type unknown", "C107", config(model_type="gemma7"))
    compiling("config missing", "C101", gone("config.json"))
    return made
