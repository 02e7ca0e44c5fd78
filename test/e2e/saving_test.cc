// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// One save of a training run that fails, or whose process ends, at each of the
// calls to the system that it makes.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>

#include "lib/core/errors.h"
#include "lib/core/file_hook.h"
#include "runtime/train/checkpoints.h"
#include "runtime/train/train_loop.h"
#include "test/e2e/compiled.h"

namespace moe {
namespace {

namespace fs = std::filesystem;

constexpr char kFixture[] = "test/oracle/fixtures/deepseek_v2-1";
constexpr int kKilled = 9;

int calls, fail_at, fail_with;  // of the hook

int Count(const char*) {
  if (++calls != fail_at) return 0;
  if (fail_with == kKilled) _exit(kKilled);
  return fail_with;
}

// Makes the call |at| of what follows fail with |error|, while it lives.
class Fault {
 public:
  Fault(int at, int error) {
    calls = 0;
    fail_at = at;
    fail_with = error;
    SetFileHook(Count);
  }
  ~Fault() { SetFileHook(nullptr); }
};

std::string ReadAll(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::map<std::string, std::string> Contents(const std::string& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::directory_iterator(folder))
    files[entry.path().filename().string()] = ReadAll(entry.path());
  return files;
}

// A run whose rows are those of the fixture.
struct TrainedRun {
  explicit TrainedRun(const std::string& checkpoint = "") {
    engine = compiled::OpenToTrain(kFixture);
    EXPECT_TRUE(
        engine->LoadWeights(checkpoint.empty() ? kFixture : checkpoint).ok());
    const int64_t vocab = engine->manifest().model->vocab_size;
    auto opened = TrainData::Open(Joined(kFixture, "/ids.json"), {vocab, 64});
    EXPECT_TRUE(opened.ok()) << opened.status();
    data = std::make_unique<TrainData>(*std::move(opened));
    TrainOptions options;
    options.batch = 1;
    options.cosine = false;
    options.data = data->hash().Hex();
    order = std::make_unique<RowOrder>(*RowOrder::Create(*data, options));
    auto made = TrainLoop::Create(*engine, options, {data->max_row(), 1});
    EXPECT_TRUE(made.ok()) << made.status();
    loop = *std::move(made);
    if (!checkpoint.empty()) {
      const absl::Status resumed = loop->Resume(checkpoint);
      EXPECT_TRUE(resumed.ok()) << resumed;
    }
  }
  double Step() {
    const auto report = loop->Step(order->Rows(loop->step()));
    EXPECT_TRUE(report.ok()) << report.status();
    return report.ok() ? report->loss.loss : 0;
  }

  std::unique_ptr<Engine> engine;
  std::unique_ptr<TrainData> data;
  std::unique_ptr<RowOrder> order;
  std::unique_ptr<TrainLoop> loop;
};

// A folder with a checkpoint of step 2, a run at step 3, and what saving that
// writes if all goes well.
class Saving : public ::testing::Test {
 protected:
  Saving() : folder_(compiled::NewFolder()), good_(compiled::NewFolder()) {
    run_.Step();
    run_.Step();
    EXPECT_TRUE(run_.loop->Save(folder_).ok());
    second_ = Contents(CheckpointFolder(folder_, 2));
    run_.Step();
    const Fault count(0, 0);
    EXPECT_TRUE(run_.loop->Save(good_).ok());
    calls_ = calls;
    third_ = Contents(CheckpointFolder(good_, 3));
    run_.Step();
    EXPECT_TRUE(run_.loop->Save(good_).ok());
    fourth_ = Contents(CheckpointFolder(good_, 4));
    back_ = std::make_unique<TrainedRun>(CheckpointFolder(good_, 3));
  }

  // Saves step 3 once more, whatever is there.
  absl::Status Save() { return back_->loop->Save(folder_); }

  // Every checkpoint that the folder has is whole; the last is returned.
  int64_t CheckWhole(int at) {
    const std::vector<int64_t> steps = CheckpointSteps(folder_);
    EXPECT_FALSE(steps.empty()) << at;
    EXPECT_EQ(steps.front(), 2) << at;
    for (const int64_t step : steps) {
      const std::string checkpoint = CheckpointFolder(folder_, step);
      const auto checked = CheckCheckpoint(checkpoint);
      EXPECT_TRUE(checked.ok()) << at << ": " << checked.status();
      for (const auto& [name, bytes] : step == 2 ? second_ : third_)
        EXPECT_TRUE(bytes == ReadAll(fs::path(checkpoint) / name))
            << at << ": " << name << " of step " << step;
    }
    return steps.back();
  }

  // Goes on from the last checkpoint to step 4: the bits of a run that was
  // never stopped.
  void GoOn(int64_t last, int at) {
    TrainedRun again(CheckpointFolder(folder_, last));
    while (again.loop->step() < 4) again.Step();
    const std::string other = compiled::NewFolder();
    ASSERT_TRUE(again.loop->Save(other).ok());
    EXPECT_TRUE(Contents(CheckpointFolder(other, 4)) == fourth_) << at;
    fs::remove_all(other);
  }

  void StartAgain() { fs::remove_all(CheckpointFolder(folder_, 3)); }

  TrainedRun run_;
  std::unique_ptr<TrainedRun> back_;
  std::string folder_, good_;
  std::map<std::string, std::string> second_, third_, fourth_;
  int calls_ = 0;
};

TEST_F(Saving, FailsAtEveryCall) {
  // Without room, and with a disk that fails. What only makes room beforehand,
  // or tidies up, may fail unseen.
  int failed = 0;
  ASSERT_GT(calls_, 30);
  for (const int error : {ENOSPC, EIO})
    for (int at = 1; at <= calls_; ++at) {
      absl::Status status;
      {
        const Fault fault(at, error);
        status = Save();
      }
      const int64_t last = CheckWhole(at);
      if (status.ok()) {
        EXPECT_EQ(last, 3) << at;
      } else {
        ++failed;
        EXPECT_EQ(ExitCode(status), error == ENOSPC ? 4 : 1)
            << at << ": " << status;
      }
      for (const auto& entry : fs::recursive_directory_iterator(folder_))
        EXPECT_FALSE(entry.path().extension() == ".tmp") << entry.path();
      // The same run saves once the disk is good again.
      ASSERT_TRUE(Save().ok());
      EXPECT_EQ(CheckWhole(at), 3);
      StartAgain();
    }
  EXPECT_GT(failed, calls_);
  std::printf("%d calls, each with two errors: %d saves failed\n", calls_,
              failed);
}

TEST_F(Saving, EndsAtEveryCall) {
  int whole = 0;
  for (int at = 1; at <= calls_; ++at) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      const Fault fault(at, kKilled);
      _exit(Save().ok() ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == kKilled)
        << at << ": " << status;
    const int64_t last = CheckWhole(at);
    whole += last == 3;
    GoOn(last, at);
    ASSERT_TRUE(Save().ok());
    EXPECT_EQ(CheckWhole(at), 3);
    StartAgain();
  }
  EXPECT_GE(whole, 1);       // at the last calls all is written
  EXPECT_LT(whole, calls_);  // and before the manifest nothing is there
  std::printf("%d ends of a process; %d left a whole step 3\n", calls_, whole);
}

TEST_F(Saving, FailsToRemoveOldOnes) {
  ASSERT_TRUE(Save().ok());
  {
    const Fault count(0, 0);
    ASSERT_TRUE(DropCheckpoints(folder_, 2).ok());
    EXPECT_EQ(calls, 0);
  }
  for (int at = 1; at <= 3; ++at) {
    const std::string folder = compiled::NewFolder();
    fs::copy(folder_, folder, fs::copy_options::recursive);
    absl::Status status;
    {
      const Fault fault(at, EIO);
      status = DropCheckpoints(folder, 1);
    }
    EXPECT_FALSE(status.ok()) << at;
    EXPECT_EQ(CheckpointSteps(folder).back(), 3);
    for (const int64_t step : CheckpointSteps(folder))
      EXPECT_TRUE(CheckCheckpoint(CheckpointFolder(folder, step)).ok()) << at;
    EXPECT_TRUE(DropCheckpoints(folder, 1).ok());
    EXPECT_EQ(CheckpointSteps(folder), std::vector<int64_t>{3});
  }
}

}  // namespace
}  // namespace moe
