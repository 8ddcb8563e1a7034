#pragma once
// Hands the records of a run to the console and to every report of --report FORMAT=PATH.
#include <memory>
#include <string>
#include <vector>

#include "harness/base/result.h"
#include "harness/runner/runner.h"
#include "reports/console.h"
#include "reports/writer.h"

namespace ringfence::cli {

class Reporter : public Observer {
 public:
  explicit Reporter(Console& console) : console_(console) {}

  // All or none.
  Status open(const std::vector<std::string>& specs);
  // Bad input leaves nothing behind: removes the reports that open() has created.
  void discard();

  void header(const HeaderRecord& header, size_t total) override;
  void started(const Case& c, size_t running) override;
  void finished(const CaseRecord& record) override;
  void granted(const GrantedRecord& record) override;
  void finding(const FindingRecord& record) override;
  void waiting() override;

  // The first failure of any writer.
  Status end(const std::vector<RunResult>& results);
  [[nodiscard]] const std::vector<ReportPlace>& places() const { return places_; }

 private:
  template <typename F>
  void each(F&& f) {
    for (auto& writer : writers_) {
      if (auto ok = f(*writer); !ok && status_) status_ = ok;
    }
  }

  Console& console_;
  std::vector<std::unique_ptr<Writer>> writers_;
  std::vector<ReportPlace> places_;
  std::vector<std::string> made_;  // files that were not there before
  Status status_;
};

// Whether a report goes to standard output, which the console then leaves alone.
bool report_on_stdout(const std::vector<std::string>& specs);

}  // namespace ringfence::cli
