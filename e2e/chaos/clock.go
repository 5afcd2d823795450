package chaos

import (
	"fmt"
	"time"

	"github.com/windrow-io/windrow/e2e/lab"
)

// Clocks that step. Those of Windrow's own programs decide nothing but whose settings are newer.
var clockScenarios = []scenario{
	{
		name: "redis clock", does: "Redis's clock steps an hour less a minute ahead, back, and a minute behind", expects: exactlyOnce,
		play: func(r *run) {
			r.on(lab.Kafka(r.t), lab.RedisWithClock(r.t))
			r.load(r.steps("Redis", r.Redis.Clock, 59*time.Minute), r.steps("Redis", r.Redis.Clock, 0), r.steps("Redis", r.Redis.Clock, -time.Minute))
		},
	},
	{
		name: "redis clock, windows of time", does: "the records received within a second are a window, and the clock that says so steps ahead, back and behind: time stands still until it has caught up", expects: exactlyOnce,
		play: func(r *run) {
			r.on(lab.Kafka(r.t), lab.RedisWithClock(r.t))
			r.settings = []string{"EMITTER=fixed", "WINDOW_INTERVAL=1s"}
			const ahead = 20 * time.Second
			r.load(r.steps("Redis", r.Redis.Clock, ahead), r.steps("Redis", r.Redis.Clock, 0), r.steps("Redis", r.Redis.Clock, -ahead))
		},
	},
	{
		name: "kafka clock", does: "the broker's clock steps an hour less a minute ahead, so that transactions under way time out, back, and a minute behind", expects: exactlyOnce,
		play: func(r *run) {
			r.on(lab.Kafka(r.t, lab.WithClock(), lab.WithoutAutoCreate()), lab.Redis(r.t))
			r.load(r.steps("Kafka", r.Kafka.Clock, 59*time.Minute), r.steps("Kafka", r.Kafka.Clock, 0), r.steps("Kafka", r.Kafka.Clock, -time.Minute))
		},
	},
}

// steps steps a server's clock.
func (r *run) steps(server string, clock *lab.Clock, ahead time.Duration) fault {
	what := fmt.Sprintf("%s's clock is %v ahead", server, ahead)
	if ahead < 0 {
		what = fmt.Sprintf("%s's clock is %v behind", server, -ahead)
	}
	return fault{what, func() { clock.Step(r.t, ahead) }}
}
