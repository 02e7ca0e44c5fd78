// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/interpreter/interpret.h"

#include "dialect/moe/MoeDialect.h"
#include "lib/core/safetensors.h"
#include "lib/interpreter/interpreter.h"

#include <deque>

using namespace mlir;
using namespace mlir::moe;

static constexpr std::pair<Element, ::moe::DType> kDTypes[] = {
    {Element::F64, ::moe::DType::kF64},   {Element::F32, ::moe::DType::kF32},
    {Element::F16, ::moe::DType::kF16},   {Element::BF16, ::moe::DType::kBF16},
    {Element::Index, ::moe::DType::kI64}, {Element::I64, ::moe::DType::kI64},
    {Element::I32, ::moe::DType::kI32},   {Element::I16, ::moe::DType::kI16},
    {Element::I8, ::moe::DType::kI8},     {Element::I1, ::moe::DType::kBool}};

static ::moe::DType dtypeOf(Element element) {
  for (auto [own, stored] : kDTypes)
    if (own == element)
      return stored;
  return ::moe::DType::kF32;
}

static LogicalResult report(Operation *op, const absl::Status &status) {
  if (!status.ok())
    op->emitError(std::string(status.message()));
  return success(status.ok());
}

/// |stored| as |element|; integers must be stored as integers.
template <typename T>
static FailureOr<Tensor<T>> load(Operation *op, const ::moe::Tensor &stored,
                                 Element element) {
  int64_t width = ::moe::DTypeSize(stored.dtype), count = stored.bytes / width;
  if (::moe::IsFloat(stored.dtype) != isFloat(element))
    return op->emitError() << stored.name << " is stored as "
                           << std::string(::moe::DTypeName(stored.dtype))
                           << ", expected " << elementName(element);
  auto each = [&](auto &values) {
    for (int64_t i = 0; i < count; ++i)
      values[i] = ::moe::LoadDouble(stored.dtype, stored.data + i * width);
  };
  if (isFloat(element)) {
    std::vector<T> values(count);
    each(values);
    return Tensor<T>::floats(element, stored.shape, std::move(values));
  }
  std::vector<int64_t> values(count);
  each(values);
  return Tensor<T>::ints(element, stored.shape, std::move(values));
}

/// The names under which an entry's arguments or results are in files.
static std::string nameOf(Operation *entry, unsigned index, bool isResult) {
  auto function = cast<FunctionOpInterface>(entry);
  auto named = isResult
                   ? function.getResultAttrOfType<StringAttr>(index, "nn.name")
                   : function.getArgAttrOfType<StringAttr>(index, "nn.name");
  if (named)
    return named.str();
  static constexpr llvm::StringLiteral modelNames[] = {"ids", "positions",
                                                       "cu_seqlens"};
  if (isa<nn::ModelOp>(entry))
    return isResult ? "logits" : modelNames[index].str();
  return (isResult ? "result" : "arg") + std::to_string(index);
}

template <typename T>
static FailureOr<Datum<T>> makeArgument(Operation *entry,
                                        const std::string &name, Type type,
                                        const ::moe::SafetensorsFile *file) {
  const ::moe::Tensor *stored = file ? file->Find(name) : nullptr;
  if (!stored)
    return entry->emitError("the inputs file holds no tensor ") << name;
  if (auto plan = dyn_cast<PlanType>(type)) {
    auto idx = load<T>(entry, *stored, Element::I32);
    if (failed(idx))
      return failure();
    if (idx->rank() != 2)
      return entry->emitError("expects indices [T, K] for the plan ") << name;
    return Datum<T>(::moe::reference::MakePlan(
        idx->int32s().data(), idx->dim(0), plan.getExperts(), idx->dim(1)));
  }
  Type elementType = isa<nn::CacheType>(type)
                         ? cast<nn::CacheType>(type).getElementType()
                         : type;
  auto element = elementOf(elementType);
  if (!element)
    return entry->emitError("cannot read an argument of type ") << type;
  auto tensor = load<T>(entry, *stored, *element);
  if (failed(tensor) || !isa<nn::CacheType>(type))
    return FailureOr<Datum<T>>(std::move(tensor));
  if (tensor->rank() != 4)
    return entry->emitError(
               "expects [layers, pages, page length, width] for the cache ")
           << name;
  auto cache = std::make_shared<Cache<T>>(
      *element, tensor->dim(0), tensor->dim(1), tensor->dim(2), tensor->dim(3));
  cache->data = tensor->values();
  return Datum<T>(std::move(cache));
}

namespace {
/// Collects values for an outputs file.
template <typename T> class Outputs {
public:
  void add(const std::string &name, const Datum<T> &datum) {
    if (datum.isTensor())
      return add(name, datum.tensor());
    if (datum.isPlan()) {
      const Plan &plan = datum.plan();
      add(name + ".idx", {plan.tokens, plan.top_k}, plan.idx);
      add(name + ".slot2row", {plan.tokens, plan.top_k}, plan.slot2row);
      add(name + ".row2slot", {plan.rows()}, plan.row2slot);
      add(name + ".offsets", {plan.experts + 1}, plan.offsets);
    } else if (datum.isCache()) {
      Cache<T> &cache = datum.cache();
      add(name, Tensor<T>::floats(
                    cache.element,
                    {cache.layers, cache.pages, cache.pageLength, cache.width},
                    cache.data));
    } else {
      for (auto [index, item] : llvm::enumerate(datum.stack()))
        add(name + "." + std::to_string(index), item);
    }
  }
  absl::Status write(const std::string &path) const {
    return writer.Write(path);
  }

private:
  void add(const std::string &name, llvm::ArrayRef<int64_t> shape,
           const std::vector<int32_t> &values) {
    add(name,
        Tensor<T>::ints(Element::I32, shape, {values.begin(), values.end()}));
  }
  void add(const std::string &name, const Tensor<T> &tensor) {
    bool wide = std::is_same_v<T, double> && tensor.isFloat();
    ::moe::DType dtype = wide ? ::moe::DType::kF64 : dtypeOf(tensor.element());
    int64_t width = ::moe::DTypeSize(dtype);
    std::vector<std::byte> &bytes = storage.emplace_back(tensor.size() * width);
    for (int64_t i = 0; i < tensor.size(); ++i) {
      double value = tensor.isFloat() ? double(tensor.values()[i])
                                      : double(tensor.integers()[i]);
      ::moe::StoreDouble(dtype, value, bytes.data() + i * width);
    }
    writer.Add(name, dtype, {tensor.shape().begin(), tensor.shape().end()},
               ::moe::AsBytes(bytes));
  }

  ::moe::SafetensorsWriter writer;
  std::deque<std::vector<std::byte>> storage;
};
} // namespace

/// |path| with {rank} filled in.
static std::string ofRank(llvm::StringRef path, int rank) {
  auto [before, after] = path.split("{rank}");
  if (before.size() == path.size())
    return path.str();
  return (before + llvm::Twine(rank) + after).str();
}

/// Runs one rank of the program.
template <typename T>
static LogicalResult interpretRank(FunctionOpInterface entry,
                                   const InterpretOptions &options,
                                   const ::moe::Checkpoint *weights,
                                   typename Ranks<T>::Member &member) {
  auto module = entry->getParentOfType<ModuleOp>();
  std::optional<::moe::SafetensorsFile> file;
  if (!options.inputs.empty()) {
    auto opened =
        ::moe::SafetensorsFile::Open(ofRank(options.inputs, member.rank()));
    if (failed(report(module, opened.status())))
      return failure();
    file = std::move(*opened);
  }
  const ::moe::SafetensorsFile *inputs = file ? &*file : nullptr;
  TensorParams<T> given(member.rank());
  for (auto param : module.getOps<nn::ParamOp>()) {
    const ::moe::Tensor *stored =
        inputs ? inputs->Find(param.getSymName().str()) : nullptr;
    if (!stored)
      continue;
    auto value = load<T>(param, *stored, *elementOf(param.getTensorType()));
    if (failed(value))
      return failure();
    given.set(param.getSymName(), *value);
  }
  std::optional<CheckpointParams<T>> folder;
  llvm::SmallVector<ParamProvider<T> *> providers{&given};
  if (weights)
    providers.push_back(&folder.emplace(*weights, member.rank()));
  ParamChain<T> params(providers);

  llvm::SmallVector<Datum<T>> args;
  for (auto [index, type] : llvm::enumerate(entry.getArgumentTypes())) {
    auto value =
        makeArgument<T>(entry, nameOf(entry, index, false), type, inputs);
    if (failed(value))
      return failure();
    args.push_back(std::move(*value));
  }
  Interpreter<T> interpreter(module, &params,
                             member.size() > 1 ? &member : nullptr);
  auto results = interpreter.run(options.entry, args);
  if (failed(results))
    return failure();
  if (options.outputs.empty())
    return success();

  Outputs<T> outputs;
  for (auto [index, result] : llvm::enumerate(*results))
    outputs.add(nameOf(entry, index, true), result);
  for (auto [index, arg] : llvm::enumerate(args))
    if (arg.isCache())
      outputs.add(nameOf(entry, index, false), arg);
  return report(module, outputs.write(ofRank(options.outputs, member.rank())));
}

template <typename T>
static LogicalResult interpret(FunctionOpInterface entry,
                               const InterpretOptions &options,
                               const ::moe::Checkpoint *weights) {
  Ranks<T> ranks(options.ranks);
  return success(ranks.run([&](int rank) {
    return succeeded(interpretRank<T>(entry, options, weights, ranks.at(rank)));
  }));
}

LogicalResult mlir::moe::interpretFile(ModuleOp module,
                                       const InterpretOptions &options) {
  auto entry = dyn_cast_or_null<FunctionOpInterface>(
      SymbolTable::lookupSymbolIn(module, options.entry));
  if (!entry)
    return module.emitError("holds no entry ") << options.entry;
  if (options.ranks > 1 && !options.outputs.empty() &&
      !llvm::StringRef(options.outputs).contains("{rank}"))
    return module.emitError("runs on ")
           << options.ranks << " ranks, whose outputs need a path with {rank}";
  std::optional<::moe::Checkpoint> weights;
  if (!options.weights.empty()) {
    auto folder = ::moe::Checkpoint::Open(options.weights);
    if (failed(report(module, folder.status())))
      return failure();
    weights = std::move(*folder);
  }
  auto *folder = weights ? &*weights : nullptr;
  if (options.precision == InterpretPrecision::F64)
    return interpret<double>(entry, options, folder);
  return interpret<float>(entry, options, folder);
}
