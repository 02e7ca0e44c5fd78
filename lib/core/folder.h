// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Folders that are there after a power cut too.

#ifndef MOE_LIB_CORE_FOLDER_H_
#define MOE_LIB_CORE_FOLDER_H_

#include <string>

#include "absl/status/status.h"

namespace moe {

// The names in |folder| are on disk. OK for one that may not be read; F202 if
// the disk failed.
absl::Status SyncFolder(const std::string& folder);

// Makes |folder| and those above it that are missing. F203, F201.
absl::Status MakeFolders(const std::string& folder);

// Removes a file, or a folder with all that is in it; OK if there is none.
// F202.
absl::Status RemoveAll(const std::string& path);

}  // namespace moe

#endif  // MOE_LIB_CORE_FOLDER_H_
