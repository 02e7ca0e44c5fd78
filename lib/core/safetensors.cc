// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "lib/core/safetensors.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <iterator>
#include <limits>
#include <utility>

#include "lib/core/errors.h"
#include "lib/core/json_events.h"
#include "lib/core/status_macros.h"

namespace moe {
namespace {

constexpr uint64_t kLengthBytes = 8;
constexpr uint64_t kHeaderLimit = 100'000'000;
constexpr size_t kNameLimit = 1024;
constexpr std::string_view kMetadata = "__metadata__";

// Types of the format that nothing here can compute with.
constexpr std::string_view kKnownButUnsupported[] = {
    "F4", "F6_E2M3", "F6_E3M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "C64"};

// Turns the header's JSON into tensors whose |offset| counts from the start of
// the data and whose |bytes| is the end until Finish() has checked both.
class HeaderReader : public JsonEvents {
 public:
  HeaderReader(std::string_view where, std::vector<Tensor>& tensors,
               std::map<std::string, std::string>& metadata)
      : where_(where), tensors_(tensors), metadata_(metadata) {}

  absl::Status Null() override { return Unexpected("null"); }
  absl::Status Bool(bool) override { return Unexpected("true or false"); }
  absl::Status Float(double) override {
    return Unexpected("a number with a fraction or exponent");
  }

  absl::Status Negative(int64_t value) override {
    if (place_ == Place::kShape)
      return Error(Code::S108, where_, ": tensor ", Name(),
                   " has a dimension of ", value, ".");
    return Unexpected("a negative number");
  }

  absl::Status Unsigned(uint64_t value) override {
    if (place_ == Place::kShape) {
      std::vector<int64_t>& shape = tensors_.back().shape;
      if (shape.size() == kTensorRankLimit ||
          value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
        return Error(Code::S108, where_, ": tensor ", Name(), " has more than ",
                     kTensorRankLimit,
                     " dimensions, or one that does not fit 63 bits.");
      shape.push_back(static_cast<int64_t>(value));
      return absl::OkStatus();
    }
    if (place_ == Place::kOffsets && offsets_ < 2) {
      (offsets_++ == 0 ? tensors_.back().offset : tensors_.back().bytes) =
          value;
      return absl::OkStatus();
    }
    return Unexpected("a number");
  }

  absl::Status String(std::string& value) override {
    if (place_ == Place::kMetadata) {
      metadata_[key_] = std::move(value);
      return absl::OkStatus();
    }
    if (place_ != Place::kTensor || key_ != "dtype") return Unexpected("text");
    if (std::optional<DType> dtype = DTypeFromSafetensors(value)) {
      tensors_.back().dtype = *dtype;
      return absl::OkStatus();
    }
    const bool known = std::find(std::begin(kKnownButUnsupported),
                                 std::end(kKnownButUnsupported),
                                 value) != std::end(kKnownButUnsupported);
    return Error(known ? Code::S107 : Code::S106, where_, ": tensor ", Name(),
                 " has dtype ", Quoted(value, 20),
                 known ? ", which is not supported. Convert it to BF16 or F32."
                       : ", which safetensors does not have.");
  }

  absl::Status StartObject() override {
    if (place_ == Place::kStart)
      place_ = Place::kTop;
    else if (place_ == Place::kTop)
      place_ = key_ == kMetadata ? Place::kMetadata : Place::kTensor;
    else
      return Unexpected("an object");
    if (place_ == Place::kTensor) {
      if (!IsTensorName(key_))
        return Error(Code::S114, where_, ": tensor name ", Quoted(key_, 60),
                     " is empty, longer than ", kNameLimit,
                     " bytes, or has control characters.");
      tensors_.emplace_back().name = std::move(key_);
      seen_ = 0;
    }
    return absl::OkStatus();
  }

  absl::Status Key(std::string& key) override {
    if (place_ == Place::kTensor) {
      if (key == "dtype")
        seen_ |= 1;
      else if (key == "shape")
        seen_ |= 2;
      else if (key == "data_offsets")
        seen_ |= 4;
      else
        return Error(Code::S105, where_, ": tensor ", Name(), " has the key ",
                     Quoted(key, 40),
                     ", but may have dtype, shape and data_offsets only.");
    }
    key_ = std::move(key);
    return absl::OkStatus();
  }

  absl::Status EndObject() override {
    if (place_ == Place::kTensor && seen_ != 7)
      return Error(Code::S105, where_, ": tensor ", Name(), " lacks ",
                   !(seen_ & 1)   ? "dtype"
                   : !(seen_ & 2) ? "shape"
                                  : "data_offsets",
                   ".");
    place_ = place_ == Place::kTop ? Place::kEnd : Place::kTop;
    return absl::OkStatus();
  }

  absl::Status StartArray() override {
    if (place_ == Place::kTensor && key_ == "shape") {
      place_ = Place::kShape;
    } else if (place_ == Place::kTensor && key_ == "data_offsets") {
      place_ = Place::kOffsets;
      offsets_ = 0;
    } else {
      return Unexpected("an array");
    }
    return absl::OkStatus();
  }

  absl::Status EndArray() override {
    if (place_ == Place::kOffsets && offsets_ != 2)
      return Error(Code::S105, where_, ": tensor ", Name(),
                   ": data_offsets must be two numbers, found ", offsets_, ".");
    place_ = Place::kTensor;
    return absl::OkStatus();
  }

  absl::Status DuplicateKey(std::string_view key, int depth) override {
    if (depth == 1 && key != kMetadata)
      return Error(Code::S112, where_, ": the header has tensor ", Quoted(key),
                   " twice. Write the file again.");
    return absl::OkStatus();
  }

 private:
  enum class Place { kStart, kTop, kTensor, kShape, kOffsets, kMetadata, kEnd };

  std::string Name() const { return Quoted(tensors_.back().name); }

  absl::Status Unexpected(std::string_view found) const {
    switch (place_) {
      case Place::kMetadata:
        return Error(Code::S113, where_, ": __metadata__ key ", Quoted(key_),
                     ": expected text, found ", found, ".");
      case Place::kTop:
        if (key_ == kMetadata)
          return Error(Code::S113, where_,
                       ": __metadata__: expected an object, found ", found,
                       ".");
        return Error(Code::S105, where_, ": tensor ", Quoted(key_),
                     ": expected an object, found ", found, ".");
      case Place::kTensor:
        return Error(Code::S105, where_, ": tensor ", Name(), ", key ", key_,
                     ": expected ", key_ == "dtype" ? "text" : "an array",
                     ", found ", found, ".");
      case Place::kShape:
      case Place::kOffsets:
        return Error(Code::S105, where_, ": tensor ", Name(),
                     place_ == Place::kShape ? ", shape" : ", data_offsets",
                     ": expected ",
                     place_ == Place::kShape ? "whole numbers" : "two numbers",
                     ", found ", found, ".");
      default:
        return Error(Code::S105, where_,
                     ": the header must be a JSON object, found ", found, ".");
    }
  }

  std::string where_;
  std::vector<Tensor>& tensors_;
  std::map<std::string, std::string>& metadata_;
  Place place_ = Place::kStart;
  std::string key_;
  int seen_ = 0;     // keys of the tensor: 1 dtype, 2 shape, 4 data_offsets
  int offsets_ = 0;  // numbers of data_offsets
};

// Checks one tensor and turns |offset| and |bytes| into what safetensors.h
// says.
absl::Status FinishTensor(std::string_view where, uint64_t data_begin,
                          uint64_t file_size, Tensor& tensor) {
  const uint64_t begin = tensor.offset, end = tensor.bytes;
  if (begin > end)
    return Error(Code::S115, where, ": tensor ", Quoted(tensor.name),
                 " has data_offsets [", begin, ", ", end,
                 "], which end before they begin.");
  if (end > file_size - data_begin)
    return Error(Code::S104, where, ": tensor ", Quoted(tensor.name),
                 " ends at byte ", end, " of the data but the file has ",
                 file_size - data_begin, " (cut short). Copy it again.");
  const std::optional<int64_t> bytes = ByteCount(tensor.dtype, tensor.shape);
  if (!bytes)
    return Error(Code::S108, where, ": tensor ", Quoted(tensor.name),
                 " has more elements than 63 bits can count.");
  if (static_cast<uint64_t>(*bytes) != end - begin)
    return Error(Code::S109, where, ": tensor ", Quoted(tensor.name), " has ",
                 end - begin, " bytes but its dtype ",
                 SafetensorsName(tensor.dtype), " and shape need ", *bytes,
                 ".");
  tensor.offset = data_begin + begin;
  tensor.bytes = end - begin;
  return absl::OkStatus();
}

// |tensors|, sorted by offset, must cover the bytes from |begin| to |end| once.
absl::Status CheckCover(std::string_view where, std::span<const Tensor> tensors,
                        uint64_t begin, uint64_t end) {
  uint64_t covered = begin;
  const Tensor* last = nullptr;
  for (const Tensor& tensor : tensors) {
    if (tensor.offset < covered)
      return Error(Code::S110, where, ": tensors ", Quoted(last->name, 60),
                   " and ", Quoted(tensor.name, 60), " overlap.");
    if (tensor.offset > covered)
      return Error(Code::S111, where, ": ", tensor.offset - covered,
                   " bytes before tensor ", Quoted(tensor.name),
                   " belong to no tensor.");
    covered = tensor.offset + tensor.bytes;
    last = &tensor;
  }
  if (covered != end)
    return Error(Code::S111, where, ": the last ", end - covered,
                 " bytes of the file belong to no tensor.");
  return absl::OkStatus();
}

// The length of the header, checked against the file.
absl::StatusOr<uint64_t> HeaderLength(std::string_view where,
                                      std::span<const std::byte> first,
                                      uint64_t file_size) {
  if (file_size < kLengthBytes)
    return Error(Code::S101, where, ": has ", file_size,
                 " bytes, too few for a safetensors file. Copy it again.");
  uint64_t length = 0;
  std::memcpy(&length, first.data(), kLengthBytes);
  if (length > kHeaderLimit)
    return Error(Code::S103, where, ": claims a header of ", length,
                 " bytes, more than the format's 100 MB. Is it a safetensors "
                 "file?");
  if (length > file_size - kLengthBytes)
    return Error(Code::S102, where, ": the header should have ", length,
                 " bytes but only ", file_size - kLengthBytes,
                 " follow (cut short). Copy it again.");
  return length;
}

std::string_view TextOf(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

bool IsTensorName(std::string_view name) {
  const bool control = std::any_of(name.begin(), name.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
  });
  return !name.empty() && name.size() <= kNameLimit && !control && IsUtf8(name);
}

absl::Status SafetensorsFile::ReadHeader(std::string_view header,
                                         uint64_t file_size) {
  const std::string where = ShownPath(path_);
  if (!header.starts_with('{'))
    return Error(Code::S105, where,
                 ": the header must be a JSON object that starts with '{'. Is "
                 "it a safetensors file?");
  HeaderReader reader(where, tensors_, metadata_);
  RETURN_IF_ERROR(
      ParseJsonEvents(header, where, {.max_bytes = kHeaderLimit}, reader));
  header_hash_ = HashText(header);

  const uint64_t data_begin = kLengthBytes + header.size();
  for (Tensor& tensor : tensors_)
    RETURN_IF_ERROR(FinishTensor(where, data_begin, file_size, tensor));
  std::sort(tensors_.begin(), tensors_.end(),
            [](const Tensor& a, const Tensor& b) {
              if (a.offset != b.offset) return a.offset < b.offset;
              return a.bytes != b.bytes ? a.bytes < b.bytes : a.name < b.name;
            });
  RETURN_IF_ERROR(CheckCover(where, tensors_, data_begin, file_size));
  index_.reserve(tensors_.size());
  for (uint32_t i = 0; i < tensors_.size(); ++i)
    index_.emplace(tensors_[i].name, i);
  return absl::OkStatus();
}

absl::StatusOr<SafetensorsFile> SafetensorsFile::Open(
    const std::string& path, const SafetensorsOptions& options) {
  ASSIGN_OR_RETURN(
      OpenedFile file,
      OpenedFile::Open(path, {.follow_links = options.follow_links}));
  return Read(file, options);
}

absl::StatusOr<SafetensorsFile> SafetensorsFile::Read(
    const OpenedFile& file, const SafetensorsOptions& options) {
  if (!options.header_only) {
    ASSIGN_OR_RETURN(MappedFile map, MappedFile::Map(file));
    ASSIGN_OR_RETURN(SafetensorsFile out, Parse(map.bytes(), file.path()));
    out.map_ = std::move(map);
    out.identity_ = file.identity();
    return out;
  }
  SafetensorsFile out;
  out.path_ = file.path();
  out.identity_ = file.identity();
  std::array<std::byte, kLengthBytes> first{};
  if (file.size() >= kLengthBytes) RETURN_IF_ERROR(file.ReadAt(0, first));
  ASSIGN_OR_RETURN(const uint64_t length,
                   HeaderLength(ShownPath(out.path_), first, file.size()));
  std::string header(length, '\0');
  RETURN_IF_ERROR(
      file.ReadAt(kLengthBytes, std::as_writable_bytes(std::span(header))));
  RETURN_IF_ERROR(out.ReadHeader(header, file.size()));
  return out;
}

absl::StatusOr<SafetensorsFile> SafetensorsFile::Parse(
    std::span<const std::byte> bytes, std::string_view where) {
  SafetensorsFile out;
  out.path_ = std::string(where);
  ASSIGN_OR_RETURN(const uint64_t length,
                   HeaderLength(ShownPath(where), bytes, bytes.size()));
  RETURN_IF_ERROR(out.ReadHeader(TextOf(bytes.subspan(kLengthBytes, length)),
                                 bytes.size()));
  for (Tensor& tensor : out.tensors_)
    tensor.data = bytes.data() + tensor.offset;
  return out;
}

const Tensor* SafetensorsFile::Find(std::string_view name) const {
  const auto found = index_.find(absl::string_view(name.data(), name.size()));
  return found == index_.end() ? nullptr : &tensors_[found->second];
}

}  // namespace moe
