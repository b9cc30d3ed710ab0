from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('inference', '0005_keys_usage_audit'),
    ]

    operations = [
        # Its table keeps its name, by which processes of a release before know it.
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AlterModelTable(name='keystamp', table='inference_keystamp'),
                migrations.RenameModel(old_name='KeyStamp', new_name='Stamp'),
            ],
        ),
        migrations.CreateModel(
            name='HostDrain',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('host', models.CharField(help_text='id of the host', max_length=32, unique=True)),
                ('ordered_at', models.DateTimeField(help_text='by the clock of the database')),
            ],
            options={
                'verbose_name': 'host',
            },
        ),
        migrations.CreateModel(
            name='PipelineControl',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('pipeline', models.CharField(help_text='name of the pipeline', max_length=64, unique=True)),
                ('order', models.CharField(choices=[('load', 'load'), ('unload', 'unload'), ('reload', 'reload')], max_length=6)),
                ('unload_first', models.BooleanField(default=False, help_text='of a reload: there is no memory for two')),
                ('generation', models.PositiveBigIntegerField(help_text='larger with each order')),
                ('ordered_at', models.DateTimeField(help_text='by the clock of the database')),
            ],
            options={
                'verbose_name': 'pipeline',
                'ordering': ['pipeline'],
            },
        ),
    ]
