package chaos

import "slices"

// scenarios are all there are, in the order of the report.
var scenarios = slices.Concat(programScenarios, redisScenarios, kafkaScenarios, clockScenarios, pressureScenarios, poisonScenarios, []scenario{takeoverScenario})
