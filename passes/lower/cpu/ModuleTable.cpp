// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "passes/lower/cpu/ModuleTable.h"
#include "passes/lower/cpu/Pack.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::cpu;

static StringRef typeName(Type type) {
  if (type.isF32())
    return "f32";
  return type.isBF16() ? "bf16" : type.isF16() ? "f16" : "f64";
}

static void addPackEntry(ModuleOp module, Isa isa, StringRef name, Type source,
                         StringRef format) {
  OpBuilder b(module.getContext());
  b.setInsertionPointToEnd(module.getBody());
  Emitter e(b, module.getLoc(), isa);
  Type ptr = e.ptrType();
  auto function = LLVM::LLVMFuncOp::create(
      b, e.loc, ("moe_entry_" + name).str(),
      LLVM::LLVMFunctionType::get(b.getI32Type(), {ptr, ptr, ptr, ptr}));
  Block *block = function.addEntryBlock(b);
  b.setInsertionPointToStart(block);
  Value src = e.loadPtr(block->getArgument(2)),
        dst = e.loadPtr(e.offsetBytes(block->getArgument(2), e.i64(8)));
  auto dim = [&](int64_t i) -> Value {
    return LLVM::LoadOp::create(
        b, e.loc, e.i64Type(),
        e.offsetBytes(block->getArgument(3), e.i64(8 * i)), 8);
  };
  Value rows = dim(0), columns = dim(1), first = dim(2), rowStride = dim(3),
        columnStride = dim(4);
  e.parallel(rows, 16, [&](Value n) {
    packRow(e, {format, columns, dst}, e.add(first, n),
            e.offset(src, e.mul(n, rowStride), source), source, columnStride);
  });
  LLVM::ReturnOp::create(b, e.loc, ValueRange{e.i32(0)});
}

void cpu::addPackEntries(ModuleOp module, Isa isa,
                         SmallVectorImpl<std::string> &names) {
  addScaledEntries(module, isa, names);
  for (auto param : module.getOps<nn::ParamOp>()) {
    auto format = param->getAttrOfType<StringAttr>("nn.format");
    if (!format || format.getValue() == "raw")
      continue;
    Type source = param.getTensorType().getElementType();
    std::string name =
        ("pack." + typeName(source) + "." + format.getValue()).str();
    if (llvm::is_contained(names, name))
      continue;
    names.push_back(name);
    addPackEntry(module, isa, name, source, format.getValue());
  }
}

void cpu::addModuleTable(ModuleOp module, ArrayRef<std::string> names) {
  OpBuilder b(module.getContext());
  Location loc = module.getLoc();
  b.setInsertionPointToEnd(module.getBody());
  auto ptr = LLVM::LLVMPointerType::get(b.getContext());
  auto entryType =
      LLVM::LLVMStructType::getLiteral(b.getContext(), {ptr, ptr, ptr});
  auto arrayType = LLVM::LLVMArrayType::get(entryType, names.size());
  auto tableType = LLVM::LLVMStructType::getLiteral(
      b.getContext(), {b.getI32Type(), b.getI32Type(), b.getI32Type(), ptr});

  for (auto [i, name] : llvm::enumerate(names)) {
    std::string text = name + std::string(1, '\0');
    LLVM::GlobalOp::create(
        b, loc, LLVM::LLVMArrayType::get(b.getI8Type(), text.size()),
        /*isConstant=*/true, LLVM::Linkage::Internal,
        "moe_name_" + std::to_string(i), b.getStringAttr(text));
  }
  /// A constant global whose value the region builds.
  auto global = [&](Type type, StringRef name, function_ref<Value()> build) {
    auto op =
        LLVM::GlobalOp::create(b, loc, type, /*isConstant=*/true,
                               LLVM::Linkage::Internal, name, Attribute());
    OpBuilder::InsertionGuard guard(b);
    b.createBlock(&op.getInitializerRegion());
    LLVM::ReturnOp::create(b, loc, ValueRange{build()});
  };
  global(arrayType, "moe_entries", [&] {
    Value array = LLVM::UndefOp::create(b, loc, arrayType);
    for (auto [i, name] : llvm::enumerate(names)) {
      bool pack = StringRef(name).starts_with("pack.");
      Value fields[] = {
          LLVM::AddressOfOp::create(b, loc, ptr,
                                    "moe_name_" + std::to_string(i)),
          LLVM::AddressOfOp::create(b, loc, ptr, "moe_entry_" + name),
          pack ? Value(LLVM::ZeroOp::create(b, loc, ptr))
               : Value(LLVM::AddressOfOp::create(b, loc, ptr,
                                                 "moe_workspace_" + name))};
      for (int64_t field = 0; field < 3; ++field)
        array = LLVM::InsertValueOp::create(
            b, loc, array, fields[field], ArrayRef<int64_t>{int64_t(i), field});
    }
    return array;
  });
  global(tableType, "moe_table", [&] {
    Value table = LLVM::UndefOp::create(b, loc, tableType);
    auto constant = [&](int32_t value) -> Value {
      return LLVM::ConstantOp::create(b, loc, b.getI32Type(),
                                      b.getI32IntegerAttr(value));
    };
    Value fields[] = {constant(24), constant(1), constant(names.size()),
                      LLVM::AddressOfOp::create(b, loc, ptr, "moe_entries")};
    for (int64_t field = 0; field < 4; ++field)
      table = LLVM::InsertValueOp::create(b, loc, table, fields[field],
                                          ArrayRef<int64_t>{field});
    return table;
  });
  auto function = LLVM::LLVMFuncOp::create(
      b, loc, "moe_module_v1", LLVM::LLVMFunctionType::get(ptr, {}));
  b.setInsertionPointToStart(function.addEntryBlock(b));
  LLVM::ReturnOp::create(
      b, loc, ValueRange{LLVM::AddressOfOp::create(b, loc, ptr, "moe_table")});
}
