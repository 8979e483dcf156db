from kit.tasks import no_task_outlives_its_test  # noqa: F401
