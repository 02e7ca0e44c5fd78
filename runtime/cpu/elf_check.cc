// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/cpu/elf_check.h"

#include <elf.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>
#include <vector>

namespace moe {
namespace {

// A segment may be larger in memory than in the file; this bounds how much
// address space an object may ask for.
constexpr uint64_t kMaxImageBytes = uint64_t{1} << 32;

class Checker {
 public:
  explicit Checker(std::span<const std::byte> object) : object_(object) {}

  std::string Run() {
    if (std::string fault = CheckHeader(); !fault.empty()) return fault;
    if (std::string fault = CheckSegments(); !fault.empty()) return fault;
    if (std::string fault = CheckDynamic(); !fault.empty()) return fault;
    if (std::string fault = CheckSymbols(); !fault.empty()) return fault;
    return CheckRelocations();
  }

 private:
  bool Inside(uint64_t offset, uint64_t bytes) const {
    return offset <= object_.size() && bytes <= object_.size() - offset;
  }

  template <typename T>
  T At(uint64_t offset) const {
    T value;
    std::memcpy(&value, object_.data() + offset, sizeof(T));
    return value;
  }

  // File offset of |bytes| bytes at virtual address |address|, if one segment
  // holds them all in the file.
  std::optional<uint64_t> FileOffset(uint64_t address, uint64_t bytes) const {
    for (const Elf64_Phdr& s : loads_)
      if (address >= s.p_vaddr && address - s.p_vaddr <= s.p_filesz &&
          bytes <= s.p_filesz - (address - s.p_vaddr))
        return s.p_offset + (address - s.p_vaddr);
    return std::nullopt;
  }

  std::string CheckHeader() {
    if (!Inside(0, sizeof(Elf64_Ehdr))) return "is too short for an ELF object";
    header_ = At<Elf64_Ehdr>(0);
    if (std::memcmp(header_.e_ident, ELFMAG, SELFMAG) != 0)
      return "is not an ELF object";
    if (header_.e_ident[EI_CLASS] != ELFCLASS64 ||
        header_.e_ident[EI_DATA] != ELFDATA2LSB ||
        header_.e_ident[EI_VERSION] != EV_CURRENT ||
        header_.e_machine != EM_X86_64)
      return "is not an x86-64 object";
    if (header_.e_type != ET_DYN) return "is not a shared object";
    if (header_.e_phentsize != sizeof(Elf64_Phdr) || header_.e_phnum == 0 ||
        header_.e_phnum > 64 ||
        !Inside(header_.e_phoff,
                uint64_t{header_.e_phnum} * sizeof(Elf64_Phdr)))
      return "has a damaged segment table";
    return {};
  }

  std::string CheckLoad(const Elf64_Phdr& s) {
    if (!Inside(s.p_offset, s.p_filesz) || s.p_filesz > s.p_memsz ||
        s.p_memsz > kMaxImageBytes || s.p_vaddr > kMaxImageBytes ||
        (s.p_align > 1 && (s.p_align & (s.p_align - 1)) != 0) ||
        (s.p_align > 1 && (s.p_vaddr ^ s.p_offset) % s.p_align != 0) ||
        s.p_align > kMaxImageBytes)
      return "has a segment outside the file";
    if ((s.p_flags & PF_W) && (s.p_flags & PF_X))
      return "has a segment both writable and executable";
    if (!loads_.empty() &&
        s.p_vaddr < loads_.back().p_vaddr + loads_.back().p_memsz)
      return "has overlapping segments";
    loads_.push_back(s);
    return {};
  }

  std::string CheckSegments() {
    bool has_stack = false;
    for (uint64_t i = 0; i < header_.e_phnum; ++i) {
      const auto s = At<Elf64_Phdr>(header_.e_phoff + i * sizeof(Elf64_Phdr));
      switch (s.p_type) {
        case PT_LOAD:
          if (std::string fault = CheckLoad(s); !fault.empty()) return fault;
          break;
        case PT_DYNAMIC:
          if (dynamic_) return "has two dynamic tables";
          dynamic_ = s;
          break;
        case PT_TLS:
          return "has thread-local storage";
        case PT_INTERP:
          return "names an interpreter";
        case PT_GNU_STACK:
          has_stack = true;
          if (s.p_flags & PF_X) return "wants an executable stack";
          break;
        default:
          break;
      }
    }
    if (!has_stack) return "wants an executable stack (no PT_GNU_STACK)";
    if (loads_.empty() || !dynamic_) return "has no dynamic table";
    return {};
  }

  std::string TagFault(const Elf64_Dyn& d) {
    switch (d.d_tag) {
      case DT_NEEDED:
        needed_.push_back(d.d_un.d_val);
        return {};
      case DT_INIT:
      case DT_FINI:
        return "runs code when it is loaded or unloaded (DT_INIT, DT_FINI)";
      case DT_INIT_ARRAYSZ:
      case DT_FINI_ARRAYSZ:
      case DT_PREINIT_ARRAYSZ:
        return d.d_un.d_val == 0 ? ""
                                 : "runs code when it is loaded or unloaded "
                                   "(init or fini array)";
      case DT_TEXTREL:
        return "has text relocations";
      case DT_RPATH:
      case DT_RUNPATH:
      case DT_AUXILIARY:
      case DT_FILTER:
      case DT_AUDIT:
      case DT_DEPAUDIT:
      case DT_CONFIG:
        return "names a search path or another library";
      case DT_REL:
      case DT_RELR:
        return "has relocations of a kind that is not used here";
      case DT_FLAGS:
        if (d.d_un.d_val & DF_TEXTREL) return "has text relocations";
        if (d.d_un.d_val & DF_STATIC_TLS) return "has thread-local storage";
        return {};
      default:
        return {};
    }
  }

  std::string CheckDynamic() {
    const std::optional<uint64_t> offset =
        FileOffset(dynamic_->p_vaddr, dynamic_->p_filesz);
    if (!offset || *offset != dynamic_->p_offset)
      return "has a damaged dynamic table";
    bool ended = false;
    for (uint64_t at = 0;
         !ended && dynamic_->p_filesz - at >= sizeof(Elf64_Dyn);
         at += sizeof(Elf64_Dyn)) {
      const auto d = At<Elf64_Dyn>(*offset + at);
      ended = d.d_tag == DT_NULL;
      if (ended) break;
      if (std::string fault = TagFault(d); !fault.empty()) return fault;
      // The loader keeps the last of several; two would let the checked one
      // differ from the used one.
      if (d.d_tag != DT_NEEDED &&
          std::any_of(tags_.begin(), tags_.end(),
                      [&](auto& t) { return t.d_tag == d.d_tag; }))
        return "has a dynamic tag twice";
      tags_.push_back(d);
    }
    if (!ended) return "has a damaged dynamic table";
    if (Tag(DT_SYMENT) != sizeof(Elf64_Sym) || !Tag(DT_SYMTAB) ||
        !Tag(DT_STRTAB) || !Tag(DT_STRSZ))
      return "has no symbol table";
    strings_ = FileOffset(*Tag(DT_STRTAB), *Tag(DT_STRSZ)).value_or(0);
    strings_size_ = *Tag(DT_STRSZ);
    if (strings_ == 0 || strings_size_ == 0 ||
        At<char>(strings_ + strings_size_ - 1) != 0)
      return "has a damaged string table";
    if (!needed_.empty())
      return "needs library '" + StringAt(needed_.front()) + "'";
    return {};
  }

  std::optional<uint64_t> Tag(int64_t tag) const {
    for (const Elf64_Dyn& d : tags_)
      if (d.d_tag == tag) return d.d_un.d_val;
    return std::nullopt;
  }

  // A name from the string table, short enough for a message.
  std::string StringAt(uint64_t index) const {
    if (index >= strings_size_) return "?";
    const char* begin =
        reinterpret_cast<const char*>(object_.data() + strings_ + index);
    std::string name(begin, strnlen(begin, 80));
    for (char& c : name)
      if (c < 0x20 || c > 0x7E) c = '?';
    return name;
  }

  // The number of dynamic symbols, which only the hash tables tell.
  std::optional<uint64_t> SymbolCount() const {
    if (const auto hash = Tag(DT_HASH)) {
      const auto offset = FileOffset(*hash, 8);
      if (!offset) return std::nullopt;
      const uint64_t buckets = At<uint32_t>(*offset),
                     chains = At<uint32_t>(*offset + 4);
      if (!FileOffset(*hash, 8 + 4 * (buckets + chains))) return std::nullopt;
      return chains;
    }
    const auto hash = Tag(DT_GNU_HASH);
    return hash ? GnuSymbolCount(*hash) : std::nullopt;
  }

  // Walks the chain of the last bucket to its end.
  std::optional<uint64_t> GnuSymbolCount(uint64_t address) const {
    const auto offset = FileOffset(address, 16);
    if (!offset) return std::nullopt;
    const uint64_t buckets = At<uint32_t>(*offset),
                   first = At<uint32_t>(*offset + 4);
    const uint64_t bloom = At<uint32_t>(*offset + 8);
    const uint64_t table = 16 + 8 * bloom;
    const auto bucket_offset = FileOffset(address + table, 4 * buckets);
    if (!FileOffset(address, table) || !bucket_offset) return std::nullopt;
    uint64_t last = 0;
    for (uint64_t i = 0; i < buckets; ++i)
      last = std::max<uint64_t>(last, At<uint32_t>(*bucket_offset + 4 * i));
    if (last == 0) return first;
    if (last < first) return std::nullopt;
    for (uint64_t symbol = last;; ++symbol) {
      const auto link =
          FileOffset(address + table + 4 * buckets + 4 * (symbol - first), 4);
      if (!link) return std::nullopt;
      if (At<uint32_t>(*link) & 1) return symbol + 1;
    }
  }

  std::string CheckSymbols() {
    const std::optional<uint64_t> count = SymbolCount();
    if (!count || *count == 0) return "has a damaged symbol hash table";
    const std::optional<uint64_t> offset =
        FileOffset(*Tag(DT_SYMTAB), *count * sizeof(Elf64_Sym));
    if (!offset) return "has a damaged symbol table";
    for (uint64_t i = 1; i < *count; ++i) {
      const auto symbol = At<Elf64_Sym>(*offset + i * sizeof(Elf64_Sym));
      if (symbol.st_shndx == SHN_UNDEF)
        return "leaves symbol '" + StringAt(symbol.st_name) + "' undefined";
      const int type = ELF64_ST_TYPE(symbol.st_info);
      if (type == STT_TLS) return "has thread-local storage";
      if (type == STT_GNU_IFUNC) return "has an indirect function";
    }
    symbols_ = *count;
    return {};
  }

  std::string CheckTable(int64_t address_tag, int64_t size_tag) const {
    const uint64_t size = Tag(size_tag).value_or(0);
    if (size == 0) return {};
    const auto offset =
        FileOffset(Tag(address_tag).value_or(~uint64_t{0}), size);
    if (!offset || size % sizeof(Elf64_Rela) != 0)
      return "has a damaged relocation table";
    for (uint64_t at = 0; at < size; at += sizeof(Elf64_Rela)) {
      const auto r = At<Elf64_Rela>(*offset + at);
      const uint64_t type = ELF64_R_TYPE(r.r_info),
                     symbol = ELF64_R_SYM(r.r_info);
      const bool plain = type == R_X86_64_RELATIVE && symbol == 0;
      const bool own = (type == R_X86_64_64 || type == R_X86_64_GLOB_DAT ||
                        type == R_X86_64_JUMP_SLOT) &&
                       symbol != 0;
      if (!plain && !own)
        return "has relocations of a kind that is not used here";
      if (symbol >= symbols_ || !Writable(r.r_offset))
        return "has a relocation outside its data";
    }
    return {};
  }

  bool Writable(uint64_t address) const {
    return std::any_of(loads_.begin(), loads_.end(), [&](const Elf64_Phdr& s) {
      return (s.p_flags & PF_W) && s.p_memsz >= 8 && address >= s.p_vaddr &&
             address - s.p_vaddr <= s.p_memsz - 8;
    });
  }

  std::string CheckRelocations() const {
    if (Tag(DT_RELA) && Tag(DT_RELAENT) != sizeof(Elf64_Rela))
      return "has a damaged relocation table";
    if (Tag(DT_JMPREL) && Tag(DT_PLTREL) != DT_RELA)
      return "has a damaged relocation table";
    std::string fault = CheckTable(DT_RELA, DT_RELASZ);
    return fault.empty() ? CheckTable(DT_JMPREL, DT_PLTRELSZ) : fault;
  }

  std::span<const std::byte> object_;
  Elf64_Ehdr header_{};
  std::vector<Elf64_Phdr> loads_;
  std::optional<Elf64_Phdr> dynamic_;
  std::vector<Elf64_Dyn> tags_;
  std::vector<uint64_t> needed_;
  uint64_t strings_ = 0, strings_size_ = 0, symbols_ = 0;
};

}  // namespace

std::string FindElfFault(std::span<const std::byte> object) {
  return Checker(object).Run();
}

}  // namespace moe
