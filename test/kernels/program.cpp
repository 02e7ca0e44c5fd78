// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "test/kernels/program.h"

#include <gtest/gtest.h>
#include <pmmintrin.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xmmintrin.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "dialect/nn/NnDialect.h"
#include "lib/backend/cpu_level.h"
#include "lib/backend/object.h"
#include "lib/driver/pipelines.h"
#include "lib/driver/register.h"
#include "llvm/ExecutionEngine/Orc/LLJIT.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/TargetSelect.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "passes/lower/cpu/Passes.h"
#include "runtime/cpu/isa.h"
#include "runtime/include/moe/abi.h"

namespace moe::kernels {
namespace {

// A copy of |bytes| whose end is the end of the mapping that may be touched,
// with zeros in front of it.
class Guarded {
 public:
  Guarded(const std::vector<uint8_t>& bytes, size_t alignment) {
    const size_t page = sysconf(_SC_PAGESIZE);
    const size_t room = (bytes.size() + alignment - 1) / alignment * alignment;
    const size_t used = (room + page) / page * page;
    length_ = used + page;
    mapping_ =
        static_cast<uint8_t*>(mmap(nullptr, length_, PROT_READ | PROT_WRITE,
                                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    EXPECT_NE(mapping_, MAP_FAILED);
    EXPECT_EQ(mprotect(mapping_ + used, page, PROT_NONE), 0);
    size_ = bytes.size();
    data_ = mapping_ + used - room;
    if (size_) std::memcpy(data_, bytes.data(), size_);
  }
  Guarded(Guarded&& other)
      : mapping_(std::exchange(other.mapping_, nullptr)),
        data_(other.data_),
        length_(other.length_),
        size_(other.size_) {}
  Guarded(const Guarded&) = delete;
  ~Guarded() {
    if (mapping_) munmap(mapping_, length_);
  }

  void* data() const { return data_; }
  std::vector<uint8_t> bytes() const { return {data_, data_ + size_}; }
  // Whether nothing was written in front of the copy.
  bool IsIntact() const {
    return std::all_of(mapping_, data_, [](uint8_t byte) { return !byte; });
  }

 private:
  uint8_t* mapping_ = nullptr;
  uint8_t* data_ = nullptr;
  size_t length_ = 0, size_ = 0;
};

void ParallelFor(const moe_rt_v1*, moe_range_fn_v1 fn, void* closure, int64_t n,
                 int64_t grain) {
  const int64_t pieces = (n + grain - 1) / grain;
  for (int64_t piece = pieces - 1; piece >= 0; --piece)
    fn(closure, piece * grain, std::min(n, (piece + 1) * grain));
}

moe_rt_v1 Runtime() {
  moe_rt_v1 rt = {};
  rt.size = sizeof(rt);
  rt.version = MOE_ABI_VERSION;
  rt.parallel_for = ParallelFor;
  return rt;
}

mlir::MLIRContext& Context() {
  static mlir::MLIRContext* context = [] {
    mlir::DialectRegistry registry;
    mlir::moe::registerEverything(registry);
    auto* made =
        new mlir::MLIRContext(registry, mlir::MLIRContext::Threading::DISABLED);
    made->loadAllAvailableDialects();
    return made;
  }();
  return *context;
}

// The program with layouts; null after a diagnostic.
mlir::OwningOpRef<mlir::ModuleOp> WithLayouts(const std::string& functions) {
  mlir::MLIRContext& context = Context();
  auto module = mlir::parseSourceString<mlir::ModuleOp>(functions, &context);
  mlir::PassManager passes(&context);
  passes.addPass(mlir::moe::cpu::createAssignLayouts());
  if (module && failed(passes.run(*module))) return {};
  return module;
}

llvm::SmallVector<char> Compile(mlir::ModuleOp layouts,
                                mlir::moe::CpuLevel level) {
  mlir::OwningOpRef<mlir::ModuleOp> module(layouts.clone());
  mlir::PassManager passes(&Context());
  mlir::moe::addFusedToCpu(passes, mlir::moe::cpuLevelName(level));
  if (failed(passes.run(*module))) return {};
  auto object = mlir::moe::emitObject(*module, level);
  EXPECT_TRUE(object.ok()) << object.status();
  return object.ok() ? std::move(*object) : llvm::SmallVector<char>();
}

}  // namespace

// How a parameter lies in memory: |groups| blocks of [rows, columns].
struct Program::Param {
  std::string name, format;
  DType dtype;
  int64_t index, groups, rows, columns;

  int64_t GroupBytes() const {
    const int64_t panels = (rows + 31) / 32;
    if (format == "raw") return rows * columns * DTypeSize(dtype);
    if (format == "bf16.amx") return panels * ((columns + 31) / 32) * 2048;
    return panels * columns * 32 * (format == "f32.n32" ? 4 : 2);
  }
};

struct Program::Level {
  std::string name;
  std::unique_ptr<llvm::orc::LLJIT> jit;
  const moe_module_v1_table* table = nullptr;
  std::vector<Guarded> weights;
  std::vector<void*> pointers;  // the table of parameters

  const moe_entry_v1* Find(const std::string& entry) const {
    for (uint32_t i = 0; i < table->entry_count; ++i)
      if (entry == table->entries[i].name) return &table->entries[i];
    return nullptr;
  }
};

Array::Array(DType type, const std::vector<float>& values)
    : Array(type, static_cast<int64_t>(values.size())) {
  for (size_t i = 0; i < values.size(); ++i)
    StoreFloat(dtype, values[i], bytes.data() + i * DTypeSize(dtype));
}

Array::Array(const std::vector<int32_t>& values)
    : Array(DType::kI32, static_cast<int64_t>(values.size())) {
  if (!values.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
}

std::vector<float> Array::Floats() const {
  std::vector<float> values(size());
  for (int64_t i = 0; i < size(); ++i)
    values[i] = LoadFloat(dtype, bytes.data() + i * DTypeSize(dtype));
  return values;
}

std::vector<int32_t> Array::Ints() const {
  std::vector<int32_t> values(size());
  if (!values.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

Program::Program(const std::string& functions) { CompileLevels(functions); }

void Program::CompileLevels(const std::string& functions) {
  auto layouts = WithLayouts(functions);
  ASSERT_TRUE(layouts);
  for (auto param : layouts->getOps<mlir::nn::ParamOp>()) {
    auto format = param->getAttrOfType<mlir::StringAttr>("nn.format");
    if (!format) continue;
    const auto shape = param.getTensorType().getShape();
    const mlir::Type type = param.getTensorType().getElementType();
    params_.push_back(
        {param.getSymName().str(), format.str(),
         type.isBF16() ? DType::kBF16
                       : (type.isF16() ? DType::kF16 : DType::kF32),
         param->getAttrOfType<mlir::IntegerAttr>("nn.index").getInt(),
         param.getGroups(), param.getRows(),
         shape.size() == 1 ? 1 : shape.back()});
  }
  for (mlir::moe::CpuLevel cpu : mlir::moe::allCpuLevels()) {
    const llvm::SmallVector<char> object = Compile(*layouts, cpu);
    ASSERT_FALSE(object.empty()) << mlir::moe::cpuLevelName(cpu).str();
    // A machine without these instructions still checks that the code exists.
    const auto isa = moe::IsaFromName(mlir::moe::cpuLevelName(cpu).str());
    if (!isa || !moe::MachineRuns(*isa)) continue;
    auto level = std::make_unique<Level>();
    level->name = mlir::moe::cpuLevelName(cpu).str();
    level->jit = llvm::cantFail(llvm::orc::LLJITBuilder().create());
    llvm::cantFail(
        level->jit->addObjectFile(llvm::MemoryBuffer::getMemBufferCopy(
            llvm::StringRef(object.data(), object.size()), "kernels.o")));
    auto symbol = llvm::cantFail(level->jit->lookup(MOE_MODULE_SYMBOL_V1));
    level->table = symbol.toPtr<moe_module_fn_v1>()();
    levels_.push_back(std::move(level));
  }
}

Program::~Program() = default;

void Program::SetParam(const std::string& name, const Array& value) {
  for (const Param& p : params_) {
    if (p.name != name) continue;
    const int64_t elements = p.rows * p.columns;
    ASSERT_EQ(value.size(), p.groups * elements) << name;
    ASSERT_EQ(value.dtype, p.dtype) << name;
    for (const auto& level : levels_) {
      std::vector<uint8_t> bytes = value.bytes;
      if (p.format != "raw") bytes.assign(p.groups * p.GroupBytes(), 0);
      level->weights.emplace_back(bytes, 64);
      uint8_t* data = static_cast<uint8_t*>(level->weights.back().data());
      level->pointers.resize(
          std::max<size_t>(level->pointers.size(), p.index + 1));
      level->pointers[p.index] = data;
      if (p.format == "raw") continue;
      const moe_entry_v1* pack = level->Find(
          "pack." + std::string(DTypeName(p.dtype)) + "." + p.format);
      ASSERT_NE(pack, nullptr) << name;
      const Guarded source(value.bytes, DTypeSize(p.dtype));
      for (int64_t g = 0; g < p.groups; ++g) {
        void* buffers[] = {static_cast<uint8_t*>(source.data()) +
                               g * elements * DTypeSize(p.dtype),
                           data + g * p.GroupBytes()};
        const int64_t dims[] = {p.rows, p.columns, 0, p.columns, 1, 0, 0};
        const moe_rt_v1 rt = Runtime();
        ASSERT_EQ(pack->fn(&rt, nullptr, buffers, dims), 0) << name;
      }
    }
    return;
  }
  FAIL() << "no parameter " << name;
}

void Program::Run(const std::string& entry, const Dims& dims,
                  const std::vector<const Array*>& inputs,
                  const std::vector<Array*>& outputs, Array* cache,
                  const std::vector<int>& in_place) const {
  const int64_t values[] = {
      dims.tokens,      dims.sequences,          dims.longest,
      dims.page_length, dims.pages_per_sequence, dims.pages,
      dims.tokens};
  std::vector<std::vector<uint8_t>> first;
  std::vector<Array*> written = outputs;
  if (cache) written.push_back(cache);
  const std::vector<uint8_t> cache_before =
      cache ? cache->bytes : std::vector<uint8_t>();
  for (const auto& level : levels_) {
    const moe_entry_v1* found = level->Find(entry);
    ASSERT_NE(found, nullptr) << entry;
    std::vector<Guarded> buffers;
    buffers.reserve(inputs.size() + outputs.size() + 1);
    std::vector<void*> pointers;
    auto add = [&](const std::vector<uint8_t>& bytes, const Array& array) {
      buffers.emplace_back(bytes, DTypeSize(array.dtype));
      pointers.push_back(buffers.back().data());
    };
    for (const Array* input : inputs) add(input->bytes, *input);
    pointers.push_back(level->pointers.data());
    const size_t cache_at = buffers.size();
    if (cache) add(cache_before, *cache);
    std::vector<size_t> output_at;
    // Outputs start as NaN or a wrong index.
    for (const Array* output : outputs) {
      const size_t i = output_at.size();
      if (i < in_place.size()) {
        output_at.push_back(in_place[i]);
        pointers.push_back(buffers[in_place[i]].data());
        continue;
      }
      output_at.push_back(buffers.size());
      add(std::vector<uint8_t>(output->bytes.size(), 0xff), *output);
    }
    Guarded arena(std::vector<uint8_t>(
                      found->workspace ? found->workspace(values) : 0, 0xff),
                  64);
    const moe_rt_v1 rt = Runtime();
    const unsigned mode = _mm_getcsr();
    _mm_setcsr(mode | _MM_FLUSH_ZERO_ON | _MM_DENORMALS_ZERO_ON);
    const int32_t status =
        found->fn(&rt, arena.data(), pointers.data(), values);
    _mm_setcsr(mode);
    EXPECT_EQ(status, 0) << entry;
    EXPECT_TRUE(arena.IsIntact()) << entry << ": in front of the arena";
    for (size_t i = 0; i < buffers.size(); ++i)
      EXPECT_TRUE(buffers[i].IsIntact())
          << entry << ": in front of buffer " << i;
    for (size_t i = 0; i < outputs.size(); ++i)
      outputs[i]->bytes = buffers[output_at[i]].bytes();
    if (cache) cache->bytes = buffers[cache_at].bytes();
    for (size_t i = 0; i < written.size(); ++i) {
      if (first.size() <= i)
        first.push_back(written[i]->bytes);
      else
        EXPECT_TRUE(written[i]->bytes == first[i])
            << entry << ": result " << i << " differs between levels";
    }
  }
}

}  // namespace moe::kernels
